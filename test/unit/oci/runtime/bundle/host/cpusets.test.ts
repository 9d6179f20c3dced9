import { describe, expect, test } from 'vitest';
import { checkCpusets, refuseBeyond } from '../../../../../../src/oci/runtime/bundle/host/cpusets.ts';
import { container } from '../../spec/fixtures.ts';

describe('sets of CPUs and memory nodes', () => {
  test.each([['0'], ['0-3'], ['7'], ['1-2,7,0']])('%s is available on a machine with 0-3,7', (asked) => {
    expect(() => refuseBeyond('cpuset_cpus', asked, '0-3,7\n')).not.toThrow();
  });

  test.each([['4'], ['3-4'], ['0-7'], ['2-1'], ['0,8'], ['999999']])('%s is not available on it', (asked) => {
    expect(() => refuseBeyond('cpuset_cpus', asked, '0-3,7\n')).toThrow(
      expect.objectContaining({
        fault: expect.objectContaining({
          kind: 'invalidRequest',
          subject: 'linux.resources.cpuset_cpus',
          message: `use cpuset_cpus ${asked}: this machine has 0-3,7`,
        }) as unknown,
      }) as Error,
    );
  });

  test('are read from this machine', async () => {
    await checkCpusets(container.resources);
    await checkCpusets({ ...container.resources, cpusetCpus: '0', cpusetMems: '0' });
    await expect(checkCpusets({ ...container.resources, cpusetCpus: '0,99999' })).rejects.toThrow(
      'use cpuset_cpus 0,99999: this machine has ',
    );
    await expect(checkCpusets({ ...container.resources, cpusetMems: '4096' })).rejects.toThrow(
      'use cpuset_mems 4096',
    );
  });
});
