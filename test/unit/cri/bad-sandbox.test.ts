/** Every field of RunPodSandbox that can be wrong, each with the field's name in the error. */
import { describe, expect, test } from 'vitest';
import type {
  LinuxPodSandboxConfigSchema,
  LinuxSandboxSecurityContextSchema,
  NamespaceOptionSchema,
  PodSandboxConfigSchema,
  PortMappingSchema,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import {
  NamespaceMode,
  RuntimeService,
  SecurityProfile_ProfileType as Profile,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import type { Fields } from './stage.ts';
import { stage, strange } from './stage.ts';

type Config = Fields<typeof PodSandboxConfigSchema>;
type Context = Fields<typeof LinuxSandboxSecurityContextSchema>;
type Row = readonly [field: string, what: string, config: Config];

const rpc = RuntimeService.method.runPodSandbox;
const metadata = { name: 'web', namespace: 'shop', uid: 'u-1', attempt: 0 };
const pod = (more: Config = {}): Config => ({ metadata, ...more });
const context = (securityContext: Context): Config => pod({ linux: { securityContext } });
const namespaces = (
  namespaceOptions: Fields<typeof NamespaceOptionSchema>,
  more: Fields<typeof LinuxPodSandboxConfigSchema> = {},
): Config => pod({ linux: { ...more, securityContext: { namespaceOptions } } });
const named = (more: Partial<typeof metadata>): Config => pod({ metadata: { ...metadata, ...more } });
const ports = (mapping: Fields<typeof PortMappingSchema>): Config => pod({ portMappings: [mapping] });
const sysctl = (name: string, value = '1', more: Fields<typeof NamespaceOptionSchema> = {}): Config =>
  namespaces(more, { sysctls: { [name]: value } });
const parent = (cgroupParent: string): Config => pod({ linux: { cgroupParent } });
const dns = (dnsConfig: NonNullable<Config['dnsConfig']>): Config => pod({ dnsConfig });

async function expectRefusal(field: string, config: Config): Promise<void> {
  const { fails, asked } = stage();
  const status = await fails(rpc, { config });
  expect(status.code).toBe('invalidArgument');
  expect(status.message.startsWith(`RunPodSandbox: ${field}`), status.message).toBe(true);
  expect(asked).toEqual([]);
}

const NAMES: readonly Row[] = [
  ['config.metadata', 'missing', { hostname: 'x' }],
  ...(['name', 'namespace', 'uid'] as const).flatMap((part): Row[] => [
    [`config.metadata.${part}`, 'empty', named({ [part]: '' })],
    [`config.metadata.${part}`, 'with a semicolon', named({ [part]: 'a;IP=10.0.0.1' })],
    [`config.metadata.${part}`, 'with an equals sign', named({ [part]: 'a=b' })],
    [`config.metadata.${part}`, 'with a line break', named({ [part]: 'a\nb' })],
    [`config.metadata.${part}`, 'with a NUL', named({ [part]: 'a\0b' })],
    [`config.metadata.${part}`, 'with a line separator', named({ [part]: 'a\u2028b' })],
    [`config.metadata.${part}`, 'of 254 characters', named({ [part]: 'a'.repeat(254) })],
    [`config.metadata.${part}`, 'of 127 two-byte characters', named({ [part]: 'é'.repeat(127) })],
  ]),
];

describe('S66 S76 names of a pod', () => {
  test.each(NAMES)('%s %s is refused', (field, _what, config) => expectRefusal(field, config));

  test('a name with slashes, dots and other scripts is accepted unchanged', async () => {
    const { send, asked } = stage();
    await send(rpc, { config: named({ name: '../../etc/日本', namespace: '..', uid: '/' }) });
    expect(asked).toMatchObject([
      ['runSandbox', { key: { name: '../../etc/日本', namespace: '..', uid: '/' } }],
    ]);
  });

  test('the highest attempt of uint32 is kept', async () => {
    const { send, asked } = stage();
    await send(rpc, { config: pod({ metadata: { ...metadata, attempt: 2 ** 32 - 1 } }) });
    expect(asked).toMatchObject([['runSandbox', { key: { attempt: 4_294_967_295 } }]]);
  });
});

const SYSCTLS: readonly Row[] = [
  ...[
    '1+kernel.core_pattern=|/x',
    '1,kernel.core_pattern=x',
    '1\nkernel.core_pattern=x',
    '1=2',
    '1 2',
    '1\0',
    '',
    ' 1',
    '0x1',
  ].map((value): Row => [
    'config.linux.sysctls["kernel.shm_rmid_forced"]',
    `set to ${JSON.stringify(value)}`,
    sysctl('kernel.shm_rmid_forced', value),
  ]),
  ...['', 'a b', 'x\ny', 'x'.repeat(65)].map((value): Row => [
    'config.linux.sysctls["kernel.domainname"]',
    `set to ${JSON.stringify(value.slice(0, 9))}`,
    sysctl('kernel.domainname', value),
  ]),
  ...['net.ipv4.ip_forward', 'net.core.somaxconn', 'kernel.domainname'].map((name): Row => [
    `config.linux.sysctls["${name}"]`,
    'on the host network',
    sysctl(name, '1', { network: NamespaceMode.NODE }),
  ]),
  ...['kernel.shm_rmid_forced', 'kernel.msgmax', 'kernel.sem', 'fs.mqueue.msg_max'].map((name): Row => [
    `config.linux.sysctls["${name}"]`,
    'with the IPC of the host',
    sysctl(name, '1', { ipc: NamespaceMode.NODE }),
  ]),
  ...[
    'kernel.core_pattern',
    'vm.swappiness',
    'kernel.hostname',
    'fs.file-max',
    'kernel.semantics',
    'user.max_net_namespaces',
  ].map((name): Row => [`config.linux.sysctls["${name}"]`, 'held by no namespace of the pod', sysctl(name)]),
  ...[
    '',
    'net',
    'net.',
    '.net',
    'net..x',
    'net/ipv4/ip_forward',
    'net.ipv4./.x',
    '../kernel.core_pattern',
    'net.ipv4.ip forward',
  ].map((name): Row => [`config.linux.sysctls[${JSON.stringify(name)}]`, 'no name', sysctl(name)]),
  [
    'config.linux.sysctls["net.ipv4.ip_forward"]',
    'with a line break',
    sysctl('net.ipv4.ip_forward', '1\nnet.x=1'),
  ],
  ...['', ' ', '\t '].map((value): Row => [
    'config.linux.sysctls["net.ipv4.tcp_rmem"]',
    `set to ${JSON.stringify(value)}`,
    sysctl('net.ipv4.tcp_rmem', value),
  ]),
  ['config.linux.sysctls["kernel.sem"]', 'blank', sysctl('kernel.sem', '  ')],
  ['config.linux.sysctls["net.ipv4.ip_forward"]', 'with a plus', sysctl('net.ipv4.ip_forward', '1+2')],
  [
    'config.linux.sysctls["net.ipv4.ip_forward"]',
    'of 5000 characters',
    sysctl('net.ipv4.ip_forward', '1'.repeat(5000)),
  ],
];

describe('S01 S02 sysctls', () => {
  test.each(SYSCTLS)('%s %s is refused', (field, _what, config) => expectRefusal(field, config));

  test('sysctls of the pod’s own namespaces are accepted, in order of their names', async () => {
    const { send, asked } = stage();
    const wanted = {
      'net.ipv4.ip_local_port_range': '1024 65535',
      'kernel.sem': '250 32000\t32 128',
      'net.ipv4.tcp_rmem': '4096   87380 \t 16777216 ',
      'net.ipv4.tcp_wmem': '\t4096\t65536',
      'kernel.msg_next_id': '-1',
      'kernel.domainname': 'shop.example',
      'fs.mqueue.msg_max': '100',
      'net.ipv4.conf.eth0/1.forwarding': '1',
      'net.ipv4.ip_local_reserved_ports': '8080,9148-9150',
    };
    await send(rpc, { config: pod({ linux: { sysctls: wanted } }) });
    const names = Object.keys(wanted).toSorted() as (keyof typeof wanted)[];
    expect(asked).toMatchObject([
      ['runSandbox', { sysctls: names.map((name) => ({ name, value: wanted[name] })) }],
    ]);
  });
});

const NETWORK: readonly Row[] = [
  ['config.hostname', 'of 65 characters', pod({ hostname: 'x'.repeat(65) })],
  ['config.hostname', 'with a blank', pod({ hostname: 'a b' })],
  ['config.hostname', 'with a line break', pod({ hostname: 'a\n127.0.0.1' })],
  ['config.hostname', 'with a slash', pod({ hostname: 'a/b' })],
  ['config.dns_config.servers[1]', 'no address', dns({ servers: ['10.0.0.1', 'example.org'] })],
  ['config.dns_config.servers[0]', 'with a line break', dns({ servers: ['10.0.0.1\nnameserver 6.6.6.6'] })],
  ['config.dns_config.servers[0]', 'with a bad zone', dns({ servers: ['fe80::1%e h'] })],
  ['config.dns_config.servers[0]', 'with two zones', dns({ servers: ['fe80::1%a%b'] })],
  ['config.dns_config.servers[0]', 'out of range', dns({ servers: ['256.0.0.1'] })],
  ['config.dns_config.servers', 'too many', dns({ servers: Array.from({ length: 65 }, () => '10.0.0.1') })],
  ['config.dns_config.searches[0]', 'empty', dns({ searches: [''] })],
  ['config.dns_config.searches[0]', 'with a blank', dns({ searches: ['a b'] })],
  ['config.dns_config.searches[0]', 'too long', dns({ searches: ['a'.repeat(2049)] })],
  ['config.dns_config.options[0]', 'with a line break', dns({ options: ['ndots:5\nnameserver 6.6.6.6'] })],
  [
    'config.port_mappings[0].protocol',
    'unknown',
    ports({ protocol: strange(7), containerPort: 80, hostPort: 80 }),
  ],
  ['config.port_mappings[0].container_port', '0', ports({ containerPort: 0, hostPort: 80 })],
  ['config.port_mappings[0].container_port', 'too high', ports({ containerPort: 65_536, hostPort: 80 })],
  ['config.port_mappings[0].host_port', 'negative', ports({ containerPort: 80, hostPort: -1 })],
  [
    'config.port_mappings[1].host_port',
    'that leads elsewhere already',
    pod({
      portMappings: [
        { containerPort: 80, hostPort: 8080 },
        { containerPort: 81, hostPort: 8080 },
      ],
    }),
  ],
  ['config.port_mappings[0].host_port', 'too high', ports({ containerPort: 80, hostPort: 70_000 })],
  [
    'config.port_mappings[0].host_ip',
    'no address',
    ports({ containerPort: 80, hostPort: 80, hostIp: 'localhost' }),
  ],
];

const PATHS: readonly Row[] = [
  ['config.log_directory', 'relative', pod({ logDirectory: 'var/log' })],
  ['config.log_directory', 'with ..', pod({ logDirectory: '/var/log/../../etc' })],
  ['config.log_directory', 'with a NUL', pod({ logDirectory: '/var/log\0' })],
  ['config.log_directory', 'with a line break', pod({ logDirectory: '/var/\nlog' })],
  ['config.log_directory', 'of 5000 bytes', pod({ logDirectory: `/${'a/'.repeat(2500)}` })],
  ['config.log_directory', 'with a long component', pod({ logDirectory: `/${'a'.repeat(256)}` })],
  ['config.linux.cgroup_parent', 'relative', parent('kubepods/burstable')],
  ['config.linux.cgroup_parent', 'with ..', parent('/kubepods/../..')],
  ['config.linux.cgroup_parent', 'with an empty component', parent('/kubepods//x')],
  ['config.linux.cgroup_parent', 'of 900 components', parent('/a'.repeat(900))],
  ['config.linux.cgroup_parent', 'with a dot', parent('/kubepods/./x')],
  ['config.linux.cgroup_parent', 'with a NUL', parent('/kube\0pods')],
  ['config.linux.cgroup_parent', 'with a line break', parent('/kube\npods')],
  ['config.linux.cgroup_parent', 'a slice under cgroupfs', parent('kubepods-burstable.slice')],
  ['config.linux.cgroup_parent', 'a slice with a path under cgroupfs', parent('/kubepods.slice/')],
];

const SECURITY: readonly Row[] = [
  ['config.windows', 'set', pod({ windows: {} })],
  [
    'config.linux.security_context.namespace_options.network',
    'CONTAINER',
    namespaces({ network: NamespaceMode.CONTAINER }),
  ],
  [
    'config.linux.security_context.namespace_options.network',
    'TARGET',
    namespaces({ network: NamespaceMode.TARGET }),
  ],
  [
    'config.linux.security_context.namespace_options.ipc',
    'CONTAINER',
    namespaces({ ipc: NamespaceMode.CONTAINER }),
  ],
  ['config.linux.security_context.namespace_options.ipc', 'unknown', namespaces({ ipc: strange(9) })],
  [
    'config.linux.security_context.namespace_options.pid',
    'TARGET',
    namespaces({ pid: NamespaceMode.TARGET }),
  ],
  ['config.linux.security_context.namespace_options.pid', 'unknown', namespaces({ pid: strange(-1) })],
  ['config.linux.security_context.namespace_options.target_id', 'set', namespaces({ targetId: 'x' })],
  ...[NamespaceMode.POD, NamespaceMode.CONTAINER, NamespaceMode.TARGET].map((mode): Row => [
    'config.linux.security_context.namespace_options.userns_options',
    `of mode ${mode}`,
    namespaces({ usernsOptions: { mode } }),
  ]),
  [
    'config.linux.security_context.namespace_options.userns_options',
    'NODE with mappings',
    namespaces({
      usernsOptions: { mode: NamespaceMode.NODE, uids: [{ hostId: 1, containerId: 0, length: 1 }] },
    }),
  ],
  ['config.linux.security_context.run_as_user', 'negative', context({ runAsUser: { value: -1n } })],
  ['config.linux.security_context.run_as_user', '2^32', context({ runAsUser: { value: 2n ** 32n } })],
  ['config.linux.security_context.run_as_user', '2^31', context({ runAsUser: { value: 2n ** 31n } })],
  ['config.linux.security_context.run_as_user', '2^63-1', context({ runAsUser: { value: 2n ** 63n - 1n } })],
  ['config.linux.security_context.run_as_group', 'without a user', context({ runAsGroup: { value: 5n } })],
  [
    'config.linux.security_context.run_as_group',
    'negative',
    context({ runAsUser: { value: 1n }, runAsGroup: { value: -5n } }),
  ],
  [
    'config.linux.security_context.supplemental_groups[1]',
    '2^32',
    context({ supplementalGroups: [1n, 2n ** 32n] }),
  ],
  [
    'config.linux.security_context.supplemental_groups_policy',
    'unknown',
    context({ supplementalGroupsPolicy: strange(2) }),
  ],
  [
    'config.linux.security_context.selinux_options.level',
    'that is unknown',
    context({ selinuxOptions: { level: 'SystemHigh' } }),
  ],
  [
    'config.linux.security_context.selinux_options.role',
    'with a blank',
    context({ selinuxOptions: { role: 'a b' } }),
  ],
  [
    'config.linux.security_context.seccomp.profile_type',
    'unknown',
    context({ seccomp: { profileType: strange(3) } }),
  ],
  [
    'config.linux.security_context.seccomp.localhost_ref',
    'empty',
    context({ seccomp: { profileType: Profile.Localhost } }),
  ],
  [
    'config.linux.security_context.seccomp.localhost_ref',
    'with RuntimeDefault',
    context({ seccomp: { localhostRef: '/x' } }),
  ],
  ['config.linux.security_context.seccomp_profile_path', 'unknown', context({ seccompProfilePath: 'none' })],
  [
    'config.linux.security_context.seccomp_profile_path',
    'relative',
    context({ seccompProfilePath: 'localhost/x.json' }),
  ],
  [
    'config.linux.security_context.apparmor',
    'Localhost',
    context({ apparmor: { profileType: Profile.Localhost, localhostRef: 'x' } }),
  ],
  ['config.linux.overhead.cpu_period', 'too short', pod({ linux: { overhead: { cpuPeriod: 5n } } })],
  [
    'config.linux.resources.memory_limit_in_bytes',
    'negative',
    pod({ linux: { resources: { memoryLimitInBytes: -5n } } }),
  ],
  [
    'config.labels',
    'with too many',
    pod({ labels: Object.fromEntries(Array.from({ length: 4097 }, (_none, at) => [`k${at}`, ''])) }),
  ],
  ['config.labels key', 'with a NUL', pod({ labels: { 'a\0': '' } })],
  ['config.labels["a"]', 'with a NUL', pod({ labels: { a: '\0' } })],
  [
    'config.annotations',
    'too large together',
    pod({ annotations: { a: 'x'.repeat(600_000), b: 'y'.repeat(600_000) } }),
  ],
];

describe('every other field of a pod that can be wrong', () => {
  test.each([...NETWORK, ...PATHS, ...SECURITY])('%s %s is refused', (field, _what, config) =>
    expectRefusal(field, config),
  );

  test('a missing config is refused', async () => {
    const { fails } = stage();
    expect(await fails(rpc, {})).toEqual({
      code: 'invalidArgument',
      message: 'RunPodSandbox: config: is missing',
    });
  });

  test('a runtime_handler with a line break is refused', async () => {
    const { fails } = stage();
    const status = await fails(rpc, { config: pod(), runtimeHandler: 'a\nb' });
    expect(status.message).toBe('RunPodSandbox: runtime_handler: contains a control character');
  });

  test('the systemd driver accepts slices only', async () => {
    const { send, fails, asked } = stage({}, { cgroupDriver: 'systemd' });
    await send(rpc, { config: parent('/test.slice') });
    await send(rpc, { config: parent('kubepods-burstable.slice') });
    expect(asked).toMatchObject([
      ['runSandbox', { cgroupParent: '/test.slice' }],
      ['runSandbox', { cgroupParent: 'kubepods-burstable.slice' }],
    ]);
    for (const value of ['/kubepods/pod1', 'a--b.slice', '-a.slice', '/a.slice/a-.slice', '.slice']) {
      expect((await fails(rpc, { config: parent(value) })).message, value).toContain(
        'config.linux.cgroup_parent',
      );
    }
    await send(rpc, { config: parent('-.slice') });
  });

  test('a message repeats only a bounded part of a value', async () => {
    const { fails } = stage();
    const status = await fails(rpc, { config: named({ name: `${'x'.repeat(240)};` }) });
    expect(status.message.length).toBeLessThan(220);
  });
});
