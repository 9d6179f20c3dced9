import { expect, it } from 'vitest';
import { hasLibseccomp, parseFeatures } from '../../../../../src/oci/runtime/handlers/features.ts';

it('of a runtime are read from its own list', () => {
  const listed = {
    hooks: ['poststop'],
    mountOptions: ['ro', 'rro'],
    linux: {
      cgroup: { v1: true, v2: false, systemd: true },
      seccomp: { enabled: true, actions: ['SCMP_ACT_NOTIFY'], operators: ['SCMP_CMP_NE'] },
      apparmor: { enabled: false },
      mountExtensions: { idmap: { enabled: true } },
      memoryPolicy: { modes: ['MPOL_BIND'], flags: ['MPOL_F_NUMA_BALANCING'] },
    },
    annotations: { 'org.opencontainers.runc.checkpoint.enabled': 'true' },
  };
  expect(parseFeatures(JSON.stringify(listed))).toEqual({
    recursiveReadOnlyMounts: true,
    userNamespaces: true,
    features: [
      'recursive read-only mounts',
      'cgroup v1',
      'cgroup systemd',
      'idmapped mounts',
      'seccomp',
      'hook poststop',
      'seccomp action SCMP_ACT_NOTIFY',
      'seccomp operator SCMP_CMP_NE',
      'memory policy MPOL_BIND',
      'memory policy MPOL_F_NUMA_BALANCING',
      'checkpoints',
    ],
  });
});

it.each([
  '',
  'unknown command features',
  '{}',
  '{"mountOptions":"rro","linux":5}',
  '{"hooks":[1,"a\\nb",null]}',
])('are not found in %j', (text) => {
  expect(parseFeatures(text)).toEqual({
    recursiveReadOnlyMounts: false,
    userNamespaces: false,
    features: [],
  });
});

it('are bounded, whatever a program prints', () => {
  const hooks = Array.from({ length: 10_000 }, (_, index) => `hook-${index}`);
  expect(parseFeatures(JSON.stringify({ hooks })).features).toHaveLength(64);
});

it.each([
  ['2.5.4', true],
  ['2.6.0', true],
  ['3.0.0', true],
  ['2.10.1', true],
  ['2.5.3', false],
  ['1.9.9', false],
  ['2.5', false],
  ['2.5.4-rc1', false],
  [2.6, false],
])('libseccomp %s is recent enough: %s', (version, expected) => {
  const listed = { annotations: { 'io.github.seccomp.libseccomp.version': version } };
  expect(hasLibseccomp(JSON.stringify(listed), [2, 5, 4])).toBe(expected);
});

it('a libseccomp that is not named is not recent enough', () => {
  for (const text of ['', '{}', 'no json']) expect(hasLibseccomp(text, [2, 5, 4])).toBe(false);
});
