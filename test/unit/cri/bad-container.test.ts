/** Every field of CreateContainer that can be wrong, each with the name that the client is told. */
import { describe, expect, test } from 'vitest';
import type {
  CapabilitySchema,
  ContainerConfigSchema,
  DeviceSchema,
  LinuxContainerResourcesSchema,
  LinuxContainerSecurityContextSchema,
  MountSchema,
  NamespaceOptionSchema,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { MountPropagation, NamespaceMode, RuntimeService, SecurityProfile_ProfileType as Profile } from '../../../src/gen/runtime/v1/api_pb.ts';
import type { Fields } from './stage.ts';
import { containerId, containerSpec, containerView, hex, podSpec, sandboxId, sandboxView, stage, strange } from './stage.ts';

type Config = Fields<typeof ContainerConfigSchema>;
type Row = readonly [field: string, what: string, config: Config];

const rpc = RuntimeService.method.createContainer;
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const base = (more: Config = {}): Config => ({ metadata: { name: 'main', attempt: 0 }, image: { image: 'busybox' }, ...more });
const context = (securityContext: Fields<typeof LinuxContainerSecurityContextSchema>): Config => base({ linux: { securityContext } });
const namespaces = (namespaceOptions: Fields<typeof NamespaceOptionSchema>): Config =>
  context({ namespaceOptions: { pid: NamespaceMode.CONTAINER, ...namespaceOptions } });
const limits = (resources: Fields<typeof LinuxContainerResourcesSchema>): Config => base({ linux: { resources } });
const caps = (capabilities: Fields<typeof CapabilitySchema>): Config => context({ capabilities });
const mount = (more: Fields<typeof MountSchema>): Config => base({ mounts: [{ containerPath: '/data', hostPath: '/srv', ...more }] });
const imageMount = (more: Fields<typeof MountSchema>): Config => mount({ hostPath: '', readonly: true, image: { image: 'busybox' }, ...more });
const device = (more: Fields<typeof DeviceSchema>): Config =>
  base({ devices: [{ containerPath: '/dev/x', hostPath: '/dev/x', permissions: 'rw', ...more }] });
const env = (key: string, value: Uint8Array | string): Config =>
  base({ envs: [{ key, value: typeof value === 'string' ? utf8(value) : value }] });

/** A sandbox with its own PID namespaces, one on the host's network, and a second pod with a container. */
function pods(...args: Parameters<typeof stage>): ReturnType<typeof stage> {
  const made = stage(...args);
  const hosts = { ...podSpec, namespaces: { ...podSpec.namespaces, network: 'node' }, handler: 'crun', privileged: true } as const;
  const otherKey = { ...containerSpec.key, sandboxId: sandboxId('b') };
  made.put(
    sandboxView(sandboxId('a')),
    sandboxView(sandboxId('b'), { spec: hosts }),
    containerView(containerId('1')),
    containerView(containerId('2'), { spec: { ...containerSpec, key: otherKey } }),
  );
  return made;
}

async function expectRefusal(field: string, config: Config): Promise<void> {
  const { fails, asked } = pods();
  const status = await fails(rpc, { podSandboxId: hex('a'), config });
  expect(status.code, status.message).toBe('invalidArgument');
  expect(status.message.startsWith(`CreateContainer: ${field}`), status.message).toBe(true);
  expect(asked).toEqual([]);
}

const BASIC: readonly Row[] = [
  ['config.metadata', 'missing', { image: { image: 'busybox' } }],
  ['config.metadata.name', 'empty', base({ metadata: { name: '' } })],
  ['config.metadata.name', 'with a line break', base({ metadata: { name: 'a\nb' } })],
  ['config.metadata.name', 'of 254 bytes', base({ metadata: { name: 'a'.repeat(254) } })],
  ['config.image.image', 'missing', { metadata: { name: 'main' } }],
  ['config.image.image', 'empty', base({ image: { image: '' } })],
  ['config.image.image', 'of 1025 bytes', base({ image: { image: 'a'.repeat(1025) } })],
  ['config.image.image', 'with a line break', base({ image: { image: 'a\nb' } })],
  ['config.image.runtime_handler', 'unknown', base({ image: { image: 'busybox', runtimeHandler: 'kata' } })],
  ['config.image.user_specified_image', 'with a NUL', base({ image: { image: 'busybox', userSpecifiedImage: '\0' } })],
  ['config.command[1]', 'with a NUL', base({ command: ['sh', 'a\0b'] })],
  ['config.command[0]', 'longer than the kernel takes', base({ command: ['x'.repeat(131_072)] })],
  ['config.args', 'too many', base({ args: Array.from({ length: 65_537 }, () => '') })],
  ['config.args', 'longer together than the kernel takes', base({ args: Array.from({ length: 21 }, () => 'x'.repeat(100_000)) })],
  ['config.working_dir', 'relative', base({ workingDir: 'srv' })],
  ['config.working_dir', 'with ..', base({ workingDir: '/srv/../..' })],
  ['config.working_dir', 'with a NUL', base({ workingDir: '/srv\0' })],
  ['config.stop_signal', 'unknown', base({ stopSignal: strange(66) })],
  ['config.windows', 'set', base({ windows: {} })],
  ['config.CDI_devices[1].name', 'without a class', base({ CDIDevices: [{ name: 'nvidia.com/gpu=0' }, { name: 'nvidia.com=0' }] })],
  ...['', 'gpu', '/dev/x=0', 'nvidia.com/gpu=', 'nvidia.com/gpu=a b', '1vendor/gpu=0', 'nvidia.com/gpu=-0', 'a/../b=0'].map((name): Row => [
    'config.CDI_devices[0].name', JSON.stringify(name), base({ CDIDevices: [{ name }] }),
  ]),
  ['config.annotations["cdi.k8s.io/x"]', 'with a name that is none', base({ annotations: { 'cdi.k8s.io/x': 'nvidia.com/gpu=0,' } })],
  ['config.labels key', 'with a NUL', base({ labels: { '\0': '' } })],
  ['config.annotations', 'with too many', base({ annotations: Object.fromEntries(Array.from({ length: 4097 }, (_none, at) => [`k${at}`, ''])) })],
];

describe('fields of a container that can be wrong', () => {
  test.each(BASIC)('%s %s is refused', (field, _what, config) => expectRefusal(field, config));
});

const ENV: readonly Row[] = [
  ['config.envs[0].key', 'empty', env('', 'x')],
  ['config.envs[0].key', 'with an equals sign', env('A=B', 'x')],
  ['config.envs[0].key', 'with a NUL', env('A\0', 'x')],
  ['config.envs[0].value', 'with a NUL', env('A', 'x\0y')],
  ['config.envs[0].value', 'longer than the kernel takes once each byte that is no UTF-8 has been replaced', env('A', new Uint8Array(50_000).fill(0xff))],
  ['config.envs[0].value', 'longer than the kernel takes', env('A', 'x'.repeat(131_071))],
  ['config.envs', '10^5 variables', base({ envs: Array.from({ length: 100_000 }, (_none, at) => ({ key: `A${at}` })) })],
  ...['\n', '\r', ':'].map((sign): Row => ['config.envs[0].value', `HOME with ${JSON.stringify(sign)}`, env('HOME', `/root${sign}x`)]),
];

describe('S04 S61 S64 environment', () => {
  test.each(ENV)('%s %s is refused', (field, _what, config) => expectRefusal(field, config));

  test('a refused value is not repeated', async () => {
    const { message } = await pods().fails(rpc, { podSandboxId: hex('a'), config: env('TOKEN', 'secret\0') });
    expect(message).not.toContain('secret');
  });

  test('LD_PRELOAD, NODE_OPTIONS, __proto__ and line breaks are variables like any other', async () => {
    const { send, asked } = pods();
    const envs = ['LD_PRELOAD', 'NODE_OPTIONS', '__proto__', 'A'].map((key) => ({ key, value: utf8('\ufeffx\ny') }));
    await send(rpc, { podSandboxId: hex('a'), config: base({ envs }) });
    expect(asked).toMatchObject([
      ['createContainer', { env: envs.map(({ key }) => ({ name: key, value: '\ufeffx\ny' })) }],
    ]);
  });

  test('a secret of random bytes is taken: each byte that belongs to no character becomes U+FFFD, as Go has it', async () => {
    const { send, asked } = pods();
    const envs = [{ key: 'REDIS_PASSWORD', value: new Uint8Array([0x61, 0xff, 0xe2, 0x82, 0x62, 0xed, 0xa0, 0x80]) }];
    await send(rpc, { podSandboxId: hex('a'), config: base({ envs }) });
    expect(asked).toMatchObject([['createContainer', { env: [{ name: 'REDIS_PASSWORD', value: 'a\ufffd\ufffd\ufffdb\ufffd\ufffd\ufffd' }] }]]);
  });
});

const LOGS: readonly Row[] = [
  '/var/log/x', '../x', 'a/../../x', 'a/..', 'a/', '.', 'a/.', 'a\nb', 'a\0b', 'x'.repeat(256), 'a/'.repeat(2048).concat('x'),
].map((logPath) => ['config.log_path', JSON.stringify(logPath.slice(0, 20)), base({ logPath })]);

describe('S09 S75 log_path', () => {
  test.each(LOGS)('%s %s is refused', (field, _what, config) => expectRefusal(field, config));

  test.each(['main/0.log', 'a b.log', '..log', ''])('%j is taken', async (logPath) => {
    const { send, asked } = pods();
    await send(rpc, { podSandboxId: hex('a'), config: base({ logPath }) });
    expect(asked).toMatchObject([['createContainer', { logPath }]]);
  });
});

const id32 = 2n ** 32n;
const USERS: readonly Row[] = [
  ...[-1n, id32, id32 - 1n, 2n ** 31n, 2n ** 63n - 1n, -(2n ** 63n)].map(
    (value): Row => ['config.linux.security_context.run_as_user', String(value), context({ runAsUser: { value } })],
  ),
  ['config.linux.security_context.run_as_group', 'without a user', context({ runAsGroup: { value: 0n } })],
  ['config.linux.security_context.run_as_group', '2^32', context({ runAsUser: { value: 1n }, runAsGroup: { value: id32 } })],
  ['config.linux.security_context.run_as_username', 'together with run_as_user', context({ runAsUser: { value: 1n }, runAsUsername: 'www' })],
  ...['0', '99999999999', '+0', ' 0', '0x0', '1e9', '-1', 'a:b', 'a b', 'a\n', '0:0', 'root\0'].map(
    (runAsUsername): Row => ['config.linux.security_context.run_as_username', JSON.stringify(runAsUsername), context({ runAsUsername })],
  ),
  ['config.linux.security_context.supplemental_groups[0]', 'negative', context({ supplementalGroups: [-1n] })],
  [
    'config.linux.security_context.supplemental_groups',
    'too many',
    context({ supplementalGroups: Array.from({ length: 65_537 }, () => 1n) }),
  ],
  ['config.linux.security_context.supplemental_groups_policy', 'unknown', context({ supplementalGroupsPolicy: strange(9) })],
];

describe('S25 S26 users', () => {
  test.each(USERS)('%s %s is refused', (field, _what, config) => expectRefusal(field, config));

  test.each(['0', '99999999999'])('a user name %j is told to be a number, whatever passwd says of it', async (runAsUsername) => {
    const { message } = await pods().fails(rpc, { podSandboxId: hex('a'), config: context({ runAsUsername }) });
    expect(message).toContain('belongs into run_as_user');
  });

  test('the highest id is taken, and user 0 is not "unset"', async () => {
    const { send, asked } = pods();
    await send(rpc, {
      podSandboxId: hex('a'),
      config: context({ runAsUser: { value: 0n }, runAsGroup: { value: 2n ** 31n - 1n }, supplementalGroups: [5n] }),
    });
    const user = { runAsUser: 0, runAsGroup: 2_147_483_647, runAsUsername: '', supplementalGroups: [5] };
    expect(asked).toMatchObject([['createContainer', { security: { user } }]]);
  });
});

const at = 'config.linux.security_context';
const ids = { hostId: 1, containerId: 0, length: 1 };
const SECURITY: readonly Row[] = [
  [`${at}.privileged`, 'in a sandbox that is not', context({ privileged: true })],
  [`${at}.selinux_options.type`, 'with a colon', context({ selinuxOptions: { type: 'spc_t:s0' } })],
  [`${at}.selinux_options.user`, 'with a line break', context({ selinuxOptions: { user: 'a\nb' } })],
  [`${at}.selinux_options.level`, 'that is none', context({ selinuxOptions: { level: 's0:c1,c2"' } })],
  [`${at}.namespace_options.network`, 'other than the sandbox', namespaces({ network: NamespaceMode.NODE })],
  [`${at}.namespace_options.network`, 'CONTAINER', namespaces({ network: NamespaceMode.CONTAINER })],
  [`${at}.namespace_options.ipc`, 'other than the sandbox', namespaces({ ipc: NamespaceMode.NODE })],
  [`${at}.namespace_options.pid`, 'unknown', namespaces({ pid: strange(4) })],
  [`${at}.namespace_options.target_id`, 'without TARGET', namespaces({ targetId: hex('1') })],
  [`${at}.namespace_options.target_id`, 'missing with TARGET', namespaces({ pid: NamespaceMode.TARGET })],
  [`${at}.namespace_options.target_id`, 'unknown', namespaces({ pid: NamespaceMode.TARGET, targetId: hex('7') })],
  [`${at}.namespace_options.target_id`, 'of another pod', namespaces({ pid: NamespaceMode.TARGET, targetId: hex('2') })],
  [`${at}.namespace_options.userns_options`, 'POD without mappings', namespaces({ usernsOptions: { mode: NamespaceMode.POD } })],
  [`${at}.namespace_options.userns_options`, 'in a sandbox without', namespaces({ usernsOptions: { mode: NamespaceMode.POD, uids: [ids], gids: [ids] } })],
  [`${at}.capabilities.add_capabilities[1]`, 'unknown', caps({ addCapabilities: ['NET_ADMIN', 'FLY'] })],
  [`${at}.capabilities.add_capabilities[0]`, 'empty', caps({ addCapabilities: [''] })],
  [`${at}.capabilities.add_ambient_capabilities[0]`, 'unknown', caps({ addAmbientCapabilities: ['CAP_FLY'] })],
  [`${at}.capabilities.drop_capabilities[0]`, 'no name', caps({ dropCapabilities: ['A B'] })],
  [`${at}.masked_paths[0]`, 'relative', context({ maskedPaths: ['proc/kcore'] })],
  [`${at}.masked_paths[0]`, 'with ..', context({ maskedPaths: ['/proc/../etc'] })],
  [`${at}.readonly_paths[1]`, 'empty', context({ readonlyPaths: ['/proc/sys', ''] })],
  [`${at}.seccomp.profile_type`, 'unknown', context({ seccomp: { profileType: strange(8) } })],
  [`${at}.seccomp.localhost_ref`, 'relative', context({ seccomp: { profileType: Profile.Localhost, localhostRef: 'x.json' } })],
  [`${at}.seccomp.localhost_ref`, 'with ..', context({ seccomp: { profileType: Profile.Localhost, localhostRef: '/a/../x' } })],
  [`${at}.seccomp.localhost_ref`, 'with Unconfined', context({ seccomp: { profileType: Profile.Unconfined, localhostRef: '/x' } })],
  [`${at}.seccomp_profile_path`, 'unknown', context({ seccompProfilePath: 'localhost' })],
  [`${at}.apparmor`, 'Localhost', context({ apparmor: { profileType: Profile.Localhost, localhostRef: 'x' } })],
  [`${at}.apparmor.profile_type`, 'unknown', context({ apparmor: { profileType: strange(5) } })],
  [`${at}.apparmor_profile`, 'localhost/…', context({ apparmorProfile: 'localhost/x' })],
  [`${at}.apparmor_profile`, 'unknown', context({ apparmorProfile: 'x' })],
];

describe('S73 security of a container', () => {
  test.each(SECURITY)('%s %s is refused', (field, _what, config) => expectRefusal(field, config));
});

const MOUNTS: readonly Row[] = [
  ['config.mounts[0].container_path', 'empty', mount({ containerPath: '' })],
  ['config.mounts[0].container_path', 'relative', mount({ containerPath: 'data' })],
  ['config.mounts[0].container_path', 'the root', mount({ containerPath: '/' })],
  ['config.mounts[0].container_path', 'the root, hidden', mount({ containerPath: '//./' })],
  ['config.mounts[0].container_path', 'with ..', mount({ containerPath: '/data/../../etc' })],
  ['config.mounts[0].container_path', 'with a NUL', mount({ containerPath: '/data\0' })],
  ['config.mounts[0].host_path', 'empty', mount({ hostPath: '' })],
  ['config.mounts[0].host_path', 'relative', mount({ hostPath: 'srv' })],
  ['config.mounts[0].host_path', 'with ..', mount({ hostPath: '/srv/../etc' })],
  ['config.mounts[0].propagation', 'unknown', mount({ propagation: strange(3) })],
  ['config.mounts[0].recursive_read_only', 'without readonly', mount({ recursiveReadOnly: true })],
  [
    'config.mounts[0].recursive_read_only',
    'with propagation',
    mount({ recursiveReadOnly: true, readonly: true, propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER }),
  ],
  ['config.mounts[0].gidMappings', 'missing beside uidMappings', mount({ uidMappings: [ids] })],
  ['config.mounts[0].uidMappings', 'missing beside gidMappings', mount({ gidMappings: [ids] })],
  ['config.mounts[0].gidMappings', 'of another length', mount({ uidMappings: [ids], gidMappings: [{ ...ids, length: 2 }] })],
  ['config.mounts[0].host_path', 'beside an image', imageMount({ hostPath: '/srv' })],
  ['config.mounts[0].readonly', 'not set for an image', imageMount({ readonly: false })],
  ['config.mounts[0].propagation', 'of an image', imageMount({ propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL })],
  ['config.mounts[0].image_sub_path', 'with ..', imageMount({ imageSubPath: 'a/../../x' })],
  ['config.mounts[0].image_sub_path', 'absolute', imageMount({ imageSubPath: '/x' })],
  ['config.mounts[0].image.image', 'with a line break', imageMount({ image: { image: 'a\nb' } })],
  ['config.mounts[0].container_path', 'of an image the root', imageMount({ containerPath: '/' })],
  ['config.mounts[0].image_sub_path', 'without an image', mount({ imageSubPath: 'x' })],
  ['config.mounts[0].mount_options[1]', 'that is none', mount({ mountOptions: ['noexec', 'exec'] })],
  ['config.mounts[0].mount_options[0]', 'with several in one', mount({ mountOptions: ['noexec,rw'] })],
  ['config.mounts', 'too many', base({ mounts: Array.from({ length: 1025 }, () => ({ containerPath: '/a', hostPath: '/b' })) })],
  ['config.devices[0].container_path', 'relative', device({ containerPath: 'dev/x' })],
  ['config.devices[0].container_path', 'with ..', device({ containerPath: '/dev/../x' })],
  ['config.devices[0].host_path', 'empty', device({ hostPath: '' })],
  ['config.devices[0].permissions', 'with another letter', device({ permissions: 'rwx' })],
  ['config.devices[0].permissions', 'with a letter twice', device({ permissions: 'rr' })],
  ['config.devices', 'too many', base({ devices: Array.from({ length: 1025 }, () => ({ containerPath: '/a', hostPath: '/b' })) })],
];

describe('S45 S71 mounts and devices', () => {
  test.each(MOUNTS)('%s %s is refused', (field, _what, config) => expectRefusal(field, config));

  test('selinux_relabel is taken in any case: without SELinux there is nothing to label', async () => {
    for (const selinuxEnabled of [false, true]) {
      const made = pods({}, { selinuxEnabled });
      await made.send(rpc, { podSandboxId: hex('a'), config: mount({ selinuxRelabel: true }) });
      expect(made.asked).toMatchObject([['createContainer', { mounts: [{ selinuxRelabel: true }] }]]);
    }
  });

  test('recursive read-only that the handler cannot do carries the word that the kubelet looks for', async () => {
    const config = mount({ readonly: true, recursiveReadOnly: true });
    const status = await pods().fails(rpc, { podSandboxId: hex('a'), config });
    expect(status.code).toBe('unknown');
    expect(status.message).toMatch(/^RROUnsupported: .*config\.mounts\[0\]\.recursive_read_only/u);
    const able = pods();
    await able.send(rpc, { podSandboxId: hex('b'), config });
    expect(able.asked).toMatchObject([['createContainer', { mounts: [{ recursiveReadOnly: true, readonly: true }] }]]);
  });
});

const most = 2n ** 63n - 1n;
const RESOURCES: readonly Row[] = [
  ['config.linux.resources.cpu_period', 'negative', limits({ cpuPeriod: -1n })],
  ['config.linux.resources.cpu_period', 'too short', limits({ cpuPeriod: 999n })],
  ['config.linux.resources.cpu_period', 'too long', limits({ cpuPeriod: 1_000_001n })],
  ['config.linux.resources.cpu_quota', 'too small', limits({ cpuQuota: 999n })],
  ['config.linux.resources.cpu_shares', 'negative', limits({ cpuShares: -2n })],
  ['config.linux.resources.memory_limit_in_bytes', 'negative', limits({ memoryLimitInBytes: -1n })],
  ['config.linux.resources.memory_limit_in_bytes', '-2^63', limits({ memoryLimitInBytes: -(2n ** 63n) })],
  ['config.linux.resources.memory_swap_limit_in_bytes', 'below memory', limits({ memoryLimitInBytes: most, memorySwapLimitInBytes: most - 1n })],
  ['config.linux.resources.memory_swap_limit_in_bytes', 'without memory', limits({ memorySwapLimitInBytes: 5n })],
  ['config.linux.resources.memory_swap_limit_in_bytes', '-2', limits({ memorySwapLimitInBytes: -2n })],
  ['config.linux.resources.oom_score_adj', '1001', limits({ oomScoreAdj: 1001n })],
  ['config.linux.resources.oom_score_adj', '-1001', limits({ oomScoreAdj: -1001n })],
  ['config.linux.resources.oom_score_adj', '2^63-1', limits({ oomScoreAdj: most })],
  ...['a', '1-', ',', '0-3,', '-1', '1 2', '1\n', '9999999'].map(
    (cpusetCpus): Row => ['config.linux.resources.cpuset_cpus', JSON.stringify(cpusetCpus), limits({ cpusetCpus })],
  ),
  ['config.linux.resources.cpuset_mems', 'no list', limits({ cpusetMems: 'x' })],
  ['config.linux.resources.hugepage_limits[0].page_size', 'no size', limits({ hugepageLimits: [{ pageSize: '2mb', limit: 1n }] })],
  ['config.linux.resources.hugepage_limits[0].page_size', 'a path', limits({ hugepageLimits: [{ pageSize: '../2MB', limit: 1n }] })],
  [
    'config.linux.resources.hugepage_limits[1].page_size',
    'twice',
    limits({ hugepageLimits: [{ pageSize: '2MB' }, { pageSize: '2MB', limit: 1n }] }),
  ],
  ...['memory', '../memory.max', 'memory./../x', 'memory.max/x', '', '__proto__'].map(
    (key): Row => [`config.linux.resources.unified[${JSON.stringify(key)}]`, 'no file of a controller', limits({ unified: { [key]: '1' } })],
  ),
  ['config.linux.resources.unified["memory.max"]', 'with a line break', limits({ unified: { 'memory.max': '1\n2' } })],
];

describe('S62 resources', () => {
  test.each(RESOURCES.filter(([, what]) => what !== ''))('%s %s is refused', (field, _what, config) => expectRefusal(field, config));

  test('values of 63 bits survive', async () => {
    const { send, asked } = pods();
    const config = limits({
      memoryLimitInBytes: most,
      memorySwapLimitInBytes: most,
      cpuShares: 2n ** 53n + 1n,
      cpuQuota: -7n,
      cpuPeriod: 100_000n,
      oomScoreAdj: -998n,
      cpusetCpus: '0-3,7',
      hugepageLimits: [{ pageSize: '2MB', limit: 2n ** 64n - 1n }],
      unified: { 'memory.high': 'max', 'cpu.weight': '1' },
    });
    await send(rpc, { podSandboxId: hex('a'), config });
    const resources = {
      cpuPeriod: 100_000n,
      cpuQuota: -1n,
      cpuShares: 9_007_199_254_740_993n,
      memoryLimitBytes: most,
      memorySwapLimitBytes: most,
      oomScoreAdj: -998,
      cpusetCpus: '0-3,7',
      hugepageLimits: [{ pageSize: '2MB', limitBytes: 18_446_744_073_709_551_615n }],
    };
    expect(asked).toMatchObject([['createContainer', { resources }]]);
    expect(Object.keys(unifiedOf(asked))).toEqual(['cpu.weight', 'memory.high']);
  });
});

function unifiedOf(asked: readonly (readonly unknown[])[]): object {
  const spec = asked[0]?.[1] as { resources: { unified: object } };
  return spec.resources.unified;
}
