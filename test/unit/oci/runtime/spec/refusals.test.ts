/** Requests that cannot be a document: each refused by the field's name. */
import { describe, expect, test } from 'vitest';
import type { Fault } from '../../../../../src/base/fault.ts';
import { generateSpec } from '../../../../../src/oci/runtime/spec/generate.ts';
import { resourceConditions } from '../../../../../src/oci/runtime/spec/resources.ts';
import type { SpecInput } from '../../../../../src/oci/runtime/spec/input.ts';
import { encodeSpec } from '../../../../../src/oci/runtime/spec/types.ts';
import { inputOf, mountOf } from './fixtures.ts';
import { faultBy } from '../../../../support/fault-of.ts';

const faultOf = (input: SpecInput): Fault => faultBy(() => generateSpec(input));

const caps = (change: { add?: string[]; addAmbient?: string[] }) => ({
  security: { capabilities: { add: [], drop: [], addAmbient: [], ...change } },
});
const mount = (at: string, change: Parameters<typeof mountOf>[1] = {}) => ({
  input: { mounts: [{ mount: mountOf(at, change), source: '/host' }] },
});
const nodes = (kind: 'network' | 'ipc') =>
  ({ network: 'pod', ipc: 'pod', pid: 'container', targetId: undefined, [kind]: 'node' }) as const;
const field = 'linux.security_context';
const tenIds = { containerId: 0, hostId: 70_000, length: 10 };
const fewIds = {
  namespaces: {
    network: 'pod',
    ipc: 'pod',
    pid: 'container',
    targetId: undefined,
    user: { uids: tenIds, gids: tenIds },
  },
} as const;

describe('refused as invalidRequest', () => {
  test.each<[string, Parameters<typeof inputOf>[0], string]>([
    [
      'a user that the pod has not',
      { sandbox: fewIds, input: { user: { uid: 10, gid: 0, additionalGids: [0], home: '/' } } },
      `${field}.run_as_user`,
    ],
    [
      'a group that the pod has not',
      { sandbox: fewIds, input: { user: { uid: 9, gid: 9, additionalGids: [9, 10], home: '/' } } },
      `${field}.run_as_group`,
    ],
    ['nothing to run', { image: { entrypoint: [], cmd: [] } }, 'command'],
    ['an empty program', { spec: { command: [''] } }, 'command'],
    ['a NUL in an argument', { spec: { command: ['/x', 'a\0b'] } }, 'command'],
    ['S64: an empty variable name', { spec: { env: [{ name: '', value: 'x' }] } }, 'envs'],
    ['S64: a variable name with =', { spec: { env: [{ name: 'A=B', value: 'x' }] } }, 'envs'],
    ['S64: a NUL in a value', { spec: { env: [{ name: 'A', value: 'x\0y' }] } }, 'envs'],
    ['S64: an image variable without =', { image: { env: ['ALONE'] } }, 'image env'],
    [
      'S04: a line break in HOME of the request',
      { spec: { env: [{ name: 'HOME', value: '/x\nroot::0:0' }] } },
      'envs',
    ],
    ['S04: a carriage return in HOME of the image', { image: { env: ['HOME=/x\r'] } }, 'image env'],
    ['S04: a colon in HOME', { spec: { env: [{ name: 'HOME', value: '/x:0' }] } }, 'envs'],
    ['a relative working directory', { spec: { workingDir: 'here' } }, 'working_dir'],
    ['S38: descriptors of a process', { spec: { workingDir: '/proc/self/fd/7' } }, 'working_dir'],
    [
      'S38: descriptors by another name',
      { spec: { workingDir: '/x/../proc//thread-self/fd/7/..' } },
      'working_dir',
    ],
    ['S38: descriptors of a task', { image: { workingDir: '/proc/1/task/1/fd/8' } }, 'working_dir'],
    ['S38: /dev/fd', { spec: { workingDir: '/dev/fd/8' } }, 'working_dir'],
    [
      'a working directory longer than PATH_MAX',
      { spec: { workingDir: `/${'x'.repeat(5000)}` } },
      'working_dir',
    ],
    ['S73: an unknown capability', caps({ add: ['CAP_NO_SUCH'] }), `${field}.capabilities.add_capabilities`],
    [
      'an unknown ambient capability',
      caps({ addAmbient: ['nope'] }),
      `${field}.capabilities.add_ambient_capabilities`,
    ],
    [
      'the host network in a pod with its own',
      { security: { namespaces: nodes('network') } },
      `${field}.namespace_options.network`,
    ],
    [
      'the host IPC in a pod with its own',
      { security: { namespaces: nodes('ipc') } },
      `${field}.namespace_options.ipc`,
    ],
    ['a mount at nothing', mount(''), 'mounts.container_path'],
    ['a mount at the root', mount('/x/..'), 'mounts.container_path'],
    ['a NUL in a mount', mount('/a\0'), 'mounts.container_path'],
    [
      'recursively read-only, not read-only',
      mount('/a', { recursiveReadOnly: true }),
      'mounts.recursive_read_only',
    ],
    [
      'recursively read-only and shared',
      mount('/a', { recursiveReadOnly: true, readonly: true, propagation: 'bidirectional' }),
      'mounts.recursive_read_only',
    ],
    [
      'less memory than a process needs',
      { resources: { memoryLimitBytes: 1024n } },
      'linux.resources.memory_limit_in_bytes',
    ],
    [
      'swap below memory',
      { resources: { memoryLimitBytes: 2n ** 30n, memorySwapLimitBytes: 2n ** 29n } },
      'linux.resources.memory_swap_limit_in_bytes',
    ],
    [
      'swap without memory',
      { resources: { memorySwapLimitBytes: 2n ** 29n } },
      'linux.resources.memory_swap_limit_in_bytes',
    ],
    [
      'unified on v1',
      { resources: { unified: { 'memory.high': '1' } }, host: { cgroupVersion: 1 } },
      'linux.resources.unified',
    ],
    [
      'unified with a path',
      { resources: { unified: { '../../memory.max': '1' } } },
      'linux.resources.unified',
    ],
    ['unified with a slash', { resources: { unified: { 'memory.max/x': '1' } } }, 'linux.resources.unified'],
  ])('%s', (_name, changes, subject) => {
    expect(faultOf(inputOf(changes))).toMatchObject({ kind: 'invalidRequest', subject });
  });

  test('recursively read-only where the handler does not support it', () => {
    const input = inputOf(mount('/a', { recursiveReadOnly: true, readonly: true }));
    expect(faultOf({ ...input, handler: { recursiveReadOnlyMounts: false } })).toMatchObject({
      kind: 'invalidRequest',
      subject: 'mounts.recursive_read_only',
    });
  });
});

test('a known capability that this daemon lacks itself is refused as unsupported', () => {
  const input = inputOf({
    ...caps({ add: ['CAP_SYS_RESOURCE'] }),
    host: { boundingCapabilities: ['CAP_CHOWN'] },
  });
  expect(faultOf(input)).toMatchObject({ kind: 'unsupported' });
});

test('a seccomp file or a process that the caller left out is a bug, never unconfined or the host’s', () => {
  expect(faultOf(inputOf({ security: { seccomp: { type: 'localhost', path: '/p' } } })).kind).toBe('bug');
  const pid = { network: 'pod', ipc: 'pod', pid: 'target', targetId: undefined } as const;
  expect(faultOf(inputOf({ security: { namespaces: pid } })).kind).toBe('bug');
});

test('S61: an int64 keeps all its digits in config.json', () => {
  const input = inputOf({ resources: { memoryLimitBytes: 9_223_372_036_854_775_807n, cpuQuota: -1n } });
  expect(encodeSpec(generateSpec(input))).toContain('"limit": 9223372036854775807');
});

test('features that the node lacks are reported as conditions', () => {
  const { spec, host } = inputOf({
    resources: {
      hugepageLimits: [{ pageSize: '2MB', limitBytes: 0n }],
      memorySwapLimitBytes: -1n,
      oomScoreAdj: -998,
    },
    host: { hugepageSizes: [], swapLimits: false, oomScoreAdj: 0, oomScoreAdjCanSink: false },
  });
  expect(resourceConditions(spec.resources, host)).toEqual([
    'hugepage limit for 2MB dropped: no usable hugetlb controller for that size on this node',
    'memory_swap_limit_in_bytes dropped: swap cannot be limited on this node',
    'oom_score_adj -998 raised to 0: no CAP_SYS_RESOURCE on this node',
  ]);
  expect(resourceConditions(inputOf().spec.resources, inputOf().host)).toEqual([]);
});
