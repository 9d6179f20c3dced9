import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createCgroup } from '../../../../src/host/cgroups/cgroups.ts';

// plain files stand for the control files: on a real hierarchy a mistake would change cgroups of others
test.each([
  ['v2 alone', 2, false],
  ['v2 beside v1', 1, true],
] as const)('an existing cgroup is not written to: %s', async (_name, version, hybrid) => {
  const mountPoint = mkdtempSync(join(tmpdir(), 'troupe-cgroup-'));
  const control = join(mountPoint, 'cgroup.subtree_control');
  writeFileSync(join(mountPoint, 'cgroup.controllers'), 'hugetlb memory\n');
  writeFileSync(control, 'untouched');
  const hierarchies = [{ version: 2 as const, mountPoint, controllers: ['hugetlb', 'memory'] }];
  await createCgroup({ version, hybrid, controllers: [], hierarchies }, '/pod');
  expect(existsSync(join(mountPoint, 'pod'))).toBe(true);
  expect(readFileSync(control, 'utf8')).toBe('untouched');
  rmSync(mountPoint, { recursive: true });
});

test('missing parents are made in a v1 hierarchy, but never the hierarchy itself', async () => {
  const mountPoint = mkdtempSync(join(tmpdir(), 'troupe-cgroup-'));
  const layout = (at: string) => ({
    version: 1 as const,
    hybrid: false,
    controllers: ['memory'],
    hierarchies: [{ version: 1 as const, mountPoint: at, controllers: ['memory'] }],
  });
  for (const path of ['/pods/pod/monitors', '/pods/pod/monitors', '/pods/other'])
    await createCgroup(layout(mountPoint), path);
  expect(['pods/pod/monitors', 'pods/other'].map((name) => existsSync(join(mountPoint, name)))).toEqual([
    true,
    true,
  ]);
  const unmounted = join(mountPoint, 'unmounted');
  await expect(createCgroup(layout(unmounted), '/pods/pod')).rejects.toMatchObject({ code: 'ENOENT' });
  expect(existsSync(unmounted)).toBe(false);
  rmSync(mountPoint, { recursive: true });
});
