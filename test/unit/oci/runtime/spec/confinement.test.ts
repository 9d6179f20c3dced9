/** What a document must hold for a container to stay in, row by row of the security matrix. */
import { describe, expect, test } from 'vitest';
import { generateSpec } from '../../../../../src/oci/runtime/spec/generate.ts';
import { DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS } from '../../../../../src/oci/runtime/spec/masked.ts';
import { CAPABILITY_SYSCALLS } from '../../../../../src/oci/runtime/spec/seccomp-default.ts';
import { defaultSeccomp, pauseSeccomp } from '../../../../../src/oci/runtime/spec/seccomp.ts';
import type { SpecHost } from '../../../../../src/oci/runtime/spec/input.ts';
import type { SeccompArg } from '../../../../../src/oci/runtime/spec/types.ts';
import { encodeSpec } from '../../../../../src/oci/runtime/spec/types.ts';
import { host, inputOf, mountOf } from './fixtures.ts';

type Changes = Parameters<typeof inputOf>[0];

const handler = {
  recursiveReadOnlyMounts: true,
  allowedAnnotations: ['run.oci.handler', 'io.katacontainers.*'],
};
const annotationsWith = (changes: NonNullable<Changes>): Readonly<Record<string, string>> =>
  generateSpec(inputOf({ ...changes, input: { handler } })).annotations;

describe('the hostname', () => {
  const named = (ownKernel: boolean, network: 'pod' | 'node') =>
    generateSpec(
      inputOf({
        sandbox: { namespaces: { network, pid: 'container', ipc: 'pod', targetId: undefined } },
        input: { handler: { ...handler, ownKernel } },
      }),
    ).hostname;

  test('is said to a runtime whose kernel does not see the pod’s UTS namespace', () => {
    expect(named(true, 'pod')).toBe('web-0');
    expect(named(true, 'node')).toBeUndefined();
    expect(named(false, 'pod')).toBeUndefined();
  });
});

describe('annotations', () => {
  test.each([
    'run.oci.handler/app',
    'run.oci.handler.app',
    'run.oci.handlers',
    'run.oci',
    'io.katacontainers',
    'xio.katacontainers.x',
    'Run.oci.handler',
  ])('S06: %s is not passed by the handler, from the pod or the container', (name) => {
    expect(annotationsWith({ sandbox: { annotations: { [name]: 'evil' } } })[name]).toBeUndefined();
    expect(annotationsWith({ spec: { annotations: { [name]: 'evil' } } })[name]).toBeUndefined();
  });

  test('S05: no client’s annotation replaces ours', () => {
    const ours = 'io.kubernetes.cri.sandbox-name';
    const open = { recursiveReadOnlyMounts: true, allowedAnnotations: ['*'] };
    expect(
      generateSpec(inputOf({ sandbox: { annotations: { [ours]: 'evil' } }, input: { handler: open } }))
        .annotations[ours],
    ).toBe('web');
  });

  test('a runtime with a sandbox for each container gets no id of the pod’s', () => {
    const { annotations } = generateSpec(inputOf({ input: { handler: { ...handler, ownSandbox: true } } }));
    expect(Object.keys(annotations).filter((name) => /type|sandbox-?id/iu.test(name))).toEqual([]);
    expect(annotationsWith({})).toMatchObject({
      'io.kubernetes.cri.container-type': 'container',
      'io.kubernetes.cri.sandbox-id': '5'.repeat(64),
      'io.kubernetes.cri-o.ContainerType': 'container',
      'io.kubernetes.cri-o.SandboxID': '5'.repeat(64),
    });
  });

  test('S29: labels of an image are never annotations, whatever their names and the handler’s list', () => {
    const labels = {
      'run.oci.handler': 'evil-label',
      'io.katacontainers.config': 'evil-label',
      'io.kubernetes.cri.sandbox-id': 'evil-label',
      'cdi.k8s.io/x': 'evil-label',
      'org.systemd.property.ExecStart': 'evil-label',
    };
    expect(encodeSpec(generateSpec(inputOf({ image: { labels }, input: { handler } })))).not.toContain(
      'evil-label',
    );
  });
});

describe('capabilities', () => {
  test.each<[string, Changes]>([
    ['by default', {}],
    [
      'for one that is added',
      { security: { capabilities: { add: ['NET_ADMIN'], drop: [], addAmbient: [] } } },
    ],
    ['for all of them', { security: { capabilities: { add: ['ALL'], drop: [], addAmbient: [] } } }],
    ['for a privileged container', { sandbox: { privileged: true }, security: { privileged: true } }],
  ])('S11: none is inheritable or ambient %s', (_what, changes) => {
    const { inheritable, ambient } = generateSpec(inputOf(changes)).process.capabilities;
    expect([inheritable, ambient]).toEqual([[], []]);
  });
});

describe('paths of the kernel', () => {
  const PEERS = [
    'acpi',
    'asound',
    'interrupts',
    'kcore',
    'keys',
    'latency_stats',
    'sched_debug',
    'scsi',
    'timer_list',
    'timer_stats',
  ];

  test('S35 S72: the default masked paths are the larger of both peers’ lists, power consumption and firmware included', () => {
    expect(DEFAULT_MASKED_PATHS).toEqual([
      ...PEERS.map((name) => `/proc/${name}`),
      '/sys/devices/virtual/powercap',
      '/sys/firmware',
    ]);
    expect(DEFAULT_READONLY_PATHS).toEqual(
      ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map((name) => `/proc/${name}`),
    );
  });

  test('S72: requested masked paths are in the document, and none for a privileged container', () => {
    const security = { maskedPaths: ['/proc/kcore', '/x'], readonlyPaths: ['/proc/sys'] };
    expect(generateSpec(inputOf({ security })).linux).toMatchObject(security);
    const privileged = generateSpec(
      inputOf({ sandbox: { privileged: true }, security: { ...security, privileged: true } }),
    ).linux;
    expect(privileged).toMatchObject({ maskedPaths: [], readonlyPaths: [] });
  });

  test('S39: /sys and the cgroups are read-only unless the container is privileged', () => {
    const modes = (changes: Changes): readonly unknown[] =>
      ['/sys', '/sys/fs/cgroup'].map((place) =>
        generateSpec(inputOf(changes))
          .mounts.find(({ destination }) => destination === place)
          ?.options.filter((option) => ['ro', 'rw'].includes(option)),
      );
    expect(modes({})).toEqual([['ro'], ['ro']]);
    expect(modes({ sandbox: { privileged: true }, security: { privileged: true } })).toEqual([
      ['rw'],
      ['rw'],
    ]);
  });
});

describe('S35: sockets under the built-in seccomp profile', () => {
  const holds = ({ value, op }: SeccompArg, family: bigint): boolean =>
    op === 'SCMP_CMP_LT' ? family < value : op === 'SCMP_CMP_EQ' && family === value;
  const isAllowed = (family: bigint): boolean =>
    defaultSeccomp(host, []).syscalls.some(
      ({ names, args, action }) =>
        names.includes('socket') &&
        action === 'SCMP_ACT_ALLOW' &&
        (args ?? []).every((arg) => holds(arg, family)),
    );

  test.each([
    ['UNIX', 1n, true],
    ['INET', 2n, true],
    ['NETLINK', 16n, true],
    ['ALG', 38n, false],
    ['VSOCK', 40n, false],
    ['ALG for a kernel that reads 32 bits', 2n ** 32n + 38n, false],
  ])('AF_%s', (_name, family, expected) => expect(isAllowed(family)).toBe(expected));
});

describe('S73: privileges and seccomp', () => {
  test('the filter has rules for the programs that the kernel runs', () => {
    const named = (...refusedPrograms: SpecHost['refusedPrograms']) =>
      defaultSeccomp({ ...host, refusedPrograms }, []).architectures;
    expect(named()).toEqual(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32']);
    expect(named('x32')).toEqual(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86']);
    expect(named('ia32', 'x32')).toEqual(['SCMP_ARCH_X86_64']);
  });

  test('a profile is made once for what it depends on, whatever else a container may do', () => {
    const made = defaultSeccomp(host, ['CAP_CHOWN', 'CAP_SYS_TIME', 'CAP_SYS_BOOT']);
    expect(defaultSeccomp(host, ['CAP_SYS_BOOT', 'CAP_SYS_TIME', 'CAP_KILL'])).toBe(made);
    for (const other of [
      defaultSeccomp(host, ['CAP_SYS_TIME']),
      defaultSeccomp({ ...host, refusedPrograms: ['ia32', 'x32'] }, ['CAP_SYS_TIME', 'CAP_SYS_BOOT']),
      defaultSeccomp({ ...host, arch: host.arch === 'x64' ? 'arm64' : 'x64' }, [
        'CAP_SYS_TIME',
        'CAP_SYS_BOOT',
      ]),
    ])
      expect(other).not.toEqual(made);
    // more than are kept
    const all = CAPABILITY_SYSCALLS.map(([name]) => name);
    for (let bits = 0; bits < 2 ** 5; bits += 1)
      defaultSeccomp(
        host,
        all.filter((_name, at) => (bits & (1 << at)) !== 0),
      );
    const again = defaultSeccomp(host, ['CAP_SYS_TIME', 'CAP_SYS_BOOT']);
    expect(again).not.toBe(made);
    expect(again).toEqual(made);
  });

  test('the pause program may call nothing that RuntimeDefault refuses', () => {
    const { syscalls, architectures, defaultAction } = pauseSeccomp('x64');
    const rules = defaultSeccomp(host, []).syscalls;
    const allowed = new Set(rules.filter(({ args }) => args === undefined).flatMap(({ names }) => names));
    const [list, ...others] = syscalls;
    expect(list?.names.filter((name) => !allowed.has(name))).toEqual([]);
    for (const rule of others) expect(rules).toContainEqual(rule);
    expect({ architectures, defaultAction }).toEqual({
      architectures: ['SCMP_ARCH_X86_64'],
      defaultAction: 'SCMP_ACT_ERRNO',
    });
    expect(pauseSeccomp('arm64').architectures).toEqual(['SCMP_ARCH_AARCH64']);
  });

  test('no_new_privs is set as requested, and left out where it is not', () => {
    const processOf = (noNewPrivs: boolean) => generateSpec(inputOf({ security: { noNewPrivs } })).process;
    expect(processOf(true).noNewPrivileges).toBe(true);
    expect(processOf(false)).not.toHaveProperty('noNewPrivileges');
  });

  test('RuntimeDefault is a filter that denies; only unconfined and privileged have none', () => {
    expect(generateSpec(inputOf()).linux.seccomp?.defaultAction).toBe('SCMP_ACT_ERRNO');
    expect(
      generateSpec(inputOf({ security: { seccomp: { type: 'unconfined', path: '' } } })).linux.seccomp,
    ).toBeUndefined();
    expect(() => generateSpec(inputOf({ security: { seccomp: { type: 'localhost', path: '/p' } } }))).toThrow(
      /profile .*: not read/u,
    );
  });
});

describe('S74: devices', () => {
  const zero = {
    path: '/dev/mine',
    type: 'c',
    major: 1,
    minor: 5,
    fileMode: 0o666,
    uid: 0,
    gid: 0,
    permissions: 'r',
  } as const;

  test('all are denied, then the requested ones are allowed as requested', () => {
    expect(
      generateSpec(inputOf({ input: { devices: [zero, { ...zero, path: '/dev/none', permissions: '' }] } }))
        .linux.resources.devices,
    ).toEqual([
      { allow: false, access: 'rwm' },
      { allow: true, type: 'c', major: 1, minor: 5, access: 'r' },
    ]);
  });

  test('all are allowed to a privileged container with the host’s devices, and to no other', () => {
    const privileged = { sandbox: { privileged: true }, security: { privileged: true } };
    expect(generateSpec(inputOf(privileged)).linux.resources.devices).toEqual([
      { allow: true, access: 'rwm' },
    ]);
    const without = { recursiveReadOnlyMounts: true, privilegedWithoutHostDevices: true };
    expect(
      generateSpec(inputOf({ ...privileged, input: { handler: without } })).linux.resources.devices,
    ).toEqual([{ allow: false, access: 'rwm' }]);
  });
});

test('S71: a recursively read-only mount covers all mounts below', () => {
  const mounts = [
    { mount: mountOf('/v', { readonly: true, recursiveReadOnly: true }), source: '/host/v' },
    { mount: mountOf('/w', { readonly: true }), source: '/host/w' },
  ];
  const spec = generateSpec(inputOf({ input: { mounts } }));
  const access = (place: string): readonly string[] | undefined =>
    spec.mounts
      .find(({ destination }) => destination === place)
      ?.options.filter((option) => /^r?r[ow]$/u.test(option));
  expect([access('/v'), access('/w')]).toEqual([['rro'], ['ro']]);
});

test('S37: an outer mount is made before those within it, so that a link of the image between them is covered', () => {
  const places = ['/a/b/c', '/a', '/a/b'];
  const spec = generateSpec(
    inputOf({ input: { mounts: places.map((place) => ({ mount: mountOf(place), source: '/host' })) } }),
  );
  expect(spec.mounts.map(({ destination }) => destination).filter((place) => places.includes(place))).toEqual(
    ['/a', '/a/b', '/a/b/c'],
  );
});
