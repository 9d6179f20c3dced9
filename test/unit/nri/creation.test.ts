import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import {
  ContainerEvictionSchema,
  ContainerUpdateSchema,
  CreateContainerResponseSchema,
  Field,
  IOPrioClass,
  LinuxSchedulerPolicy,
  MpolMode,
} from '../../../src/gen/nri/v1alpha1/api_pb.ts';
import { Creation } from '../../../src/nri/creation.ts';
import { Owners } from '../../../src/nri/owners.ts';
import { Updates } from '../../../src/nri/updates.ts';
import { generateSpec } from '../../../src/oci/runtime/spec/generate.ts';
import { limitsOf } from '../../../src/oci/runtime/spec/resources.ts';
import type { OciSpec } from '../../../src/oci/runtime/spec/types.ts';
import { CONTAINER_ID, container, inputOf } from '../oci/runtime/spec/fixtures.ts';

type Adjust = NonNullable<MessageInitShape<typeof CreateContainerResponseSchema>['adjust']>;

const request = inputOf({});
const document = generateSpec(request);

function creation(): Creation {
  return new Creation({
    id: CONTAINER_ID,
    document,
    limits: container.resources,
    limitsOf: (limits) => limitsOf(limits, request.host),
  });
}

function taken(...adjustments: readonly Adjust[]): Creation {
  const all = creation();
  for (const [index, adjust] of adjustments.entries())
    all.take(`${index}0-p`, create(CreateContainerResponseSchema, { adjust }));
  return all;
}

const after = (...adjustments: readonly Adjust[]): OciSpec => taken(...adjustments).document;

test('an empty adjustment changes nothing', () => {
  expect(after({}, { linux: {} }, { linux: { resources: {} } })).toEqual(document);
  expect(creation().hasNewLimits).toBe(false);
});

describe('the process', () => {
  test('has variables set in place, added and removed', () => {
    const path = document.process.env[0] ?? '';
    expect(path).toMatch(/^PATH=/);
    const { env } = after({
      env: [{ key: 'PATH', value: '/bin' }, { key: 'NEW', value: 'a=b' }, { key: '-HOME' }],
    }).process;
    expect([env[0], env.at(-1), env.filter((one) => one.startsWith('HOME='))]).toEqual([
      'PATH=/bin',
      'NEW=a=b',
      [],
    ]);
  });

  test('has new arguments; an empty first one overrides those of another plugin, too', () => {
    expect(after({ args: ['a', 'b'] }).process.args).toEqual(['a', 'b']);
    expect(after({ args: ['a'] }, { args: ['', 'c'] }).process.args).toEqual(['c']);
    expect(() => after({ args: ['a'] }, { args: ['c'] })).toThrow(/plugins 00-p and 10-p both set Args/);
  });

  test('has limits by type, up to the largest number', () => {
    const { rlimits } = after({
      rlimits: [{ type: 'RLIMIT_NOFILE', soft: 5n, hard: 2n ** 64n - 1n }],
    }).process;
    expect(rlimits.filter(({ type }) => type === 'RLIMIT_NOFILE')).toEqual([
      { type: 'RLIMIT_NOFILE', soft: 5n, hard: 2n ** 64n - 1n },
    ]);
  });

  test('has scheduling, I/O priority and OOM score', () => {
    const made = taken({
      linux: {
        oomScoreAdj: { value: 77n },
        ioPriority: { class: IOPrioClass.IOPRIO_CLASS_BE, priority: 4 },
        scheduler: { policy: LinuxSchedulerPolicy.SCHED_FIFO, priority: 9 },
      },
    });
    expect(made.document.process).toMatchObject({
      oomScoreAdj: 77,
      ioPriority: { class: 'IOPRIO_CLASS_BE', priority: 4 },
      scheduler: { policy: 'SCHED_FIFO', priority: 9 },
    });
    expect(made.limits.oomScoreAdj).toBe(77);
  });
});

describe('mounts', () => {
  const mount = (destination: string, options: string[] = []) => ({
    destination,
    type: 'bind',
    source: '/src',
    options,
  });

  test('replace those at their path, come after their parents, and can be removed', () => {
    const { mounts } = after({
      mounts: [
        mount('/proc/deep/er'),
        mount('/zz'),
        mount('/dev/shm', ['ro']),
        { destination: '-/dev/mqueue' },
      ],
    });
    const places = mounts.map(({ destination }) => destination);
    expect(places.filter((place) => place === '/dev/shm')).toHaveLength(1);
    expect(mounts.find(({ destination }) => destination === '/dev/shm')).toMatchObject({ options: ['ro'] });
    expect(places).not.toContain('/dev/mqueue');
    expect(places.indexOf('/proc/deep/er')).toBeGreaterThan(places.indexOf('/proc'));
    expect(places.at(-1)).toBe('/proc/deep/er');
  });

  test('with shared propagation need a root with it', () => {
    expect(after({ mounts: [mount('/a', ['rbind', 'rslave'])] }).linux.rootfsPropagation).toBe('rslave');
    expect(
      after({ mounts: [mount('/a', ['rslave']), mount('/b', ['rshared'])] }).linux.rootfsPropagation,
    ).toBe('rshared');
  });

  test('have an absolute path', () => {
    expect(() => after({ mounts: [mount('a')] })).toThrow(/mount at a: not an absolute path/);
  });
});

describe('linux', () => {
  test('has devices with the rule that allows them', () => {
    const { devices, resources } = after({
      linux: {
        devices: [
          { path: '/dev/x', type: 'c', major: 1n, minor: 7n, fileMode: { value: 0o440 }, uid: { value: 5 } },
        ],
      },
    }).linux;
    expect(devices.at(-1)).toEqual({
      path: '/dev/x',
      type: 'c',
      major: 1,
      minor: 7,
      fileMode: 0o440,
      uid: 5,
      gid: 0,
    });
    expect(resources.devices.at(-1)).toEqual({ allow: true, type: 'c', major: 1, minor: 7, access: 'r' });
    expect(() => after({ linux: { devices: [{ path: '/dev/x', type: 'z' }] } })).toThrow(/invalid type z/);
    expect(
      after(
        { linux: { devices: [{ path: '/dev/x', type: 'b' }] } },
        { linux: { devices: [{ path: '-/dev/x' }] } },
      ).linux.devices,
    ).toEqual(document.linux.devices);
  });

  test('has namespaces joined, created and left', () => {
    const { namespaces } = after({
      linux: { namespaces: [{ type: 'uts', path: '/x' }, { type: '-ipc' }, { type: 'cgroup' }] },
    }).linux;
    expect(namespaces).toContainEqual({ type: 'uts', path: '/x' });
    expect(namespaces).toContainEqual({ type: 'cgroup' });
    expect(namespaces.map(({ type }) => type)).not.toContain('ipc');
    expect(() => after({ linux: { namespaces: [{ type: 'time' }] } })).toThrow(
      /set namespace time: no such type/,
    );
  });

  test('has hooks in sequence, from any number of plugins', () => {
    const hook = (path: string) => ({ hooks: { prestart: [{ path, args: ['x'], timeout: { value: 3n } }] } });
    expect(after(hook('/a'), hook('/b')).hooks?.prestart).toEqual([
      { path: '/a', args: ['x'], env: [], timeout: 3 },
      { path: '/b', args: ['x'], env: [], timeout: 3 },
    ]);
  });

  test('has sysctls, annotations, network devices, RDT, memory policy and seccomp', () => {
    const made = after(
      {
        annotations: { mine: '1' },
        linux: {
          sysctl: { 'net.ipv4.ip_forward': '1', 'kernel.x': '2' },
          netDevices: { eth7: { name: 'data0' } },
          rdt: { closId: { value: 'gold' } },
          memoryPolicy: { mode: MpolMode.MPOL_BIND, nodes: '0' },
          seccompPolicy: {
            defaultAction: 'SCMP_ACT_ALLOW',
            syscalls: [
              {
                names: ['mount'],
                action: 'SCMP_ACT_ERRNO',
                errnoRet: { value: 1 },
                args: [{ index: 0, value: 1n, op: 'SCMP_CMP_EQ' }],
              },
            ],
          },
        },
      },
      {
        annotations: { '-mine': '' },
        linux: { sysctl: { '-kernel.x': '' }, netDevices: { '-eth7': {} }, rdt: { remove: true } },
      },
    );
    expect(made.annotations).toEqual(document.annotations);
    expect(made.linux).toMatchObject({
      sysctl: { 'net.ipv4.ip_forward': '1' },
      memoryPolicy: { mode: 'MPOL_BIND', nodes: '0', flags: [] },
      seccomp: {
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: ['mount'], errnoRet: 1, args: [{ index: 0, value: 1n, op: 'SCMP_CMP_EQ' }] }],
      },
    });
    expect(made.linux).not.toHaveProperty('intelRdt');
    expect(made.linux.netDevices ?? {}).toEqual({});
  });

  test('refuses by name what this runtime does not support', () => {
    expect(() => after({ linux: { cgroupsPath: '/elsewhere' } })).toThrow(/set the cgroups path/);
    expect(() => after({ linux: { resources: { rdtClass: { value: 'gold' } } } })).toThrow(/RDT class gold/);
    expect(() => after({ linux: { resources: { blockioClass: { value: 'slow' } } } })).toThrow(
      /block I\/O class slow/,
    );
  });
});

describe('limits', () => {
  test('are in the document and reported', () => {
    const made = taken({
      linux: {
        resources: {
          memory: { limit: { value: 1n << 26n }, reservation: { value: 1n << 25n } },
          cpu: { shares: { value: 9n }, cpus: '0' },
          pids: { limit: 5n },
        },
      },
    });
    expect(made.document.linux.resources).toMatchObject({
      memory: { limit: 1n << 26n, swap: 1n << 26n, reservation: 1n << 25n },
      cpu: { shares: 9n, cpus: '0' },
      pids: { limit: 5n },
    });
    expect(made.limits).toMatchObject({ memoryLimitBytes: 1n << 26n, cpuShares: 9n, cpusetCpus: '0' });
    expect(made.hasNewLimits).toBe(true);
  });

  test('of two plugins are combined, unless both set the same field', () => {
    const shares = { linux: { resources: { cpu: { shares: { value: 9n } } } } };
    expect(
      after(shares, { linux: { resources: { cpu: { quota: { value: 5000n } } } } }).linux.resources.cpu,
    ).toMatchObject({ shares: 9n, quota: 5000n });
    expect(() => after(shares, shares)).toThrow(/both set CPUShares of container/);
  });

  test('too small for any start are refused', () => {
    expect(() => after({ linux: { resources: { memory: { limit: { value: 1n } } } } })).toThrow(
      /limit memory to 1 bytes/,
    );
  });
});

describe('CDI devices and other containers', () => {
  test('are kept for the plugins that set them', () => {
    expect(taken({ CDIDevices: [{ name: 'vendor.com/gpu=0' }] }).cdiDevices).toEqual(['vendor.com/gpu=0']);
    expect(() => taken({ CDIDevices: [{ name: 'v/g=0' }] }, { CDIDevices: [{ name: 'v/g=0' }] })).toThrow(
      /both set CdiDevices v\/g=0/,
    );
  });

  test('refuse an update of the container itself while it is created', () => {
    const update = [{ containerId: CONTAINER_ID, linux: { resources: {} } }];
    expect(() => creation().take('10-p', create(CreateContainerResponseSchema, { update }))).toThrow(
      /use an adjustment for a container that is being created/,
    );
  });
});

test('record the removal of what no plugin has set for validators, and leave it free for the next plugin', () => {
  const owners = new Owners();
  const removed = { field: Field.Sysctl, key: 'net.a', isCleared: true };
  owners.claim('c', '10-a', [removed]);
  expect(owners.touchedOf('c', Field.Sysctl)).toEqual([{ key: 'net.a', plugin: '10-a' }]);
  expect(owners.message().owners?.['c']?.compound?.[Field.Sysctl]).toEqual({ owners: { 'net.a': '-10-a' } });
  owners.claim('c', '11-b', [{ field: Field.Sysctl, key: 'net.a' }]);
  expect(owners.ownerOf('c', Field.Sysctl, 'net.a')).toBe('11-b');
  expect(() => owners.claim('c', '12-c', [{ field: Field.Sysctl, key: 'net.a' }])).toThrow(
    'plugins 11-b and 12-c both set',
  );
});

describe('updates', () => {
  const X = 'e'.repeat(64);
  const update = (containerId: string, shares: bigint, ignoreFailure = false) =>
    create(ContainerUpdateSchema, {
      containerId,
      ignoreFailure,
      linux: { resources: { cpu: { shares: { value: shares } } } },
    });

  test('of one container by two plugins conflict, unless the later one ignores failures', () => {
    const updates = new Updates();
    updates.take('10-a', [update(X, 1n)]);
    expect(() => updates.take('20-b', [update(X, 2n)])).toThrow(
      /10-a and 20-b both set CPUShares of container e{64}/,
    );
    updates.take('20-b', [update(X, 2n, true)]);
    expect(updates.changeOf(X).cpuShares).toBe(1n);
  });

  test('S78 of an invalid id are refused with its first characters, or left out where failures are ignored', () => {
    const id = `x\u202e${'y'.repeat(1024 * 1024)}`;
    const updates = new Updates();
    expect(() => updates.take('10-a', [update(id, 1n)])).toThrow(
      /^nri plugin 10-a: update container x y{62}: not an id$/u,
    );
    expect(() => updates.take('10-a', [], [create(ContainerEvictionSchema, { containerId: id })])).toThrow(
      /not an id/u,
    );
    updates.take('10-a', [update(id, 1n, true), update(X, 2n)]);
    expect(updates.messages().map(({ containerId }) => containerId)).toEqual([X]);
  });

  test('of fields that only a document has are refused', () => {
    const pids = create(ContainerUpdateSchema, {
      containerId: X,
      linux: { resources: { pids: { limit: 3n } } },
    });
    expect(() => new Updates().take('10-a', [pids])).toThrow(/number of processes can't be changed/);
  });
});
