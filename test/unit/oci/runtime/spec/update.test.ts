import { describe, expect, it } from 'vitest';
import { NO_LIMITS } from '../../../../../src/ports/resources.ts';
import type { Resources } from '../../../../../src/ports/specs.ts';
import { updateDocument } from '../../../../../src/oci/runtime/spec/update.ts';
import { host } from './fixtures.ts';

const MIB = 1024n * 1024n;

describe('the document of an update', () => {
  it('has all limits, also unchanged ones', () => {
    const limits: Resources = {
      ...NO_LIMITS,
      cpuShares: 512n,
      cpuQuota: 20_000n,
      cpuPeriod: 100_000n,
      cpusetCpus: '0',
      memoryLimitBytes: 64n * MIB,
    };
    expect(updateDocument(limits, limits, { ...host, swapLimits: true })).toEqual({
      cpu: { shares: 512n, quota: 20_000n, period: 100_000n, cpus: '0' },
      memory: { limit: 64n * MIB, swap: 64n * MIB },
    });
    expect(updateDocument(limits, NO_LIMITS, { ...host, swapLimits: false })).toMatchObject({
      memory: { limit: 64n * MIB },
    });
  });

  it('F09: resets limits that are to be unset, in the kernel’s values', () => {
    const set: Resources = {
      ...NO_LIMITS,
      cpuShares: 512n,
      cpuQuota: 20_000n,
      cpuPeriod: 50_000n,
      memoryLimitBytes: 64n * MIB,
    };
    expect(updateDocument(NO_LIMITS, set, { ...host, swapLimits: true })).toEqual({
      cpu: { shares: 1024n, quota: -1n, period: 100_000n },
      memory: { limit: -1n, swap: -1n },
    });
  });

  it('refuses impossible limits', () => {
    expect(() => updateDocument({ ...NO_LIMITS, memoryLimitBytes: 1n }, NO_LIMITS, host)).toThrow(
      'limit memory to 1 bytes',
    );
    expect(() =>
      updateDocument(
        { ...NO_LIMITS, memoryLimitBytes: 64n * MIB, memorySwapLimitBytes: 32n * MIB },
        NO_LIMITS,
        host,
      ),
    ).toThrow('limit memory and swap');
  });
});
