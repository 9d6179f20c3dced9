/** The requests whose documents are goldens; the name is the file's. */
import type { SpecInput } from '../../../src/oci/runtime/spec/input.ts';
import { parseSeccompProfile } from '../../../src/oci/runtime/spec/seccomp-profile.ts';
import { inputOf, mountOf } from '../../unit/oci/runtime/spec/fixtures.ts';

const nodeAll = { network: 'node', pid: 'node', ipc: 'node', targetId: undefined } as const;
const pidOf = (pid: 'pod' | 'target' | 'node' | 'container') =>
  ({ network: 'pod', pid, ipc: 'pod', targetId: undefined }) as const;
const bounding = inputOf().host.boundingCapabilities;
const kvm = {
  path: '/dev/kvm',
  type: 'c',
  major: 10,
  minor: 232,
  fileMode: 0o660,
  uid: 0,
  gid: 36,
  permissions: 'rw',
} as const;
const loop = {
  path: '/dev/loop0',
  type: 'b',
  major: 7,
  minor: 0,
  fileMode: 0o660,
  uid: 0,
  gid: 6,
  permissions: 'rwm',
} as const;
const mounts = (
  ...list: readonly ReturnType<typeof mountOf>[]
): { readonly mounts: SpecInput['mounts'] } => ({
  mounts: list.map((mount) => ({ mount, source: mount.hostPath })),
});
const profile = JSON.stringify({
  defaultAction: 'SCMP_ACT_LOG',
  archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] }],
  syscalls: [
    { names: ['read', 'write'], action: 'SCMP_ACT_ALLOW' },
    { names: ['mount'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_ADMIN'] } },
    { names: ['ptrace'], action: 'SCMP_ACT_ALLOW', includes: { minKernel: '4.8' } },
    {
      names: ['clone'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: 38,
      excludes: { arches: ['s390x'] },
      args: [{ index: 0, value: 2114060288, op: 'SCMP_CMP_MASKED_EQ' }],
    },
  ],
});

const ids = (hostId: number, length = 65_536) => ({ containerId: 0, hostId, length });
const user = { uids: ids(131_072), gids: ids(262_144) };
const usernsPod = { network: 'pod', pid: 'container', ipc: 'pod', targetId: undefined, user } as const;
const usernsNode = { ...nodeAll, user: { uids: ids(131_072, 4), gids: ids(262_144, 4) } } as const;
const usernsPins = (input: SpecInput): SpecInput => ({
  ...input,
  paths: { ...input.paths, pins: { ...input.paths.pins, user: '/run/troupe/ns/x/user' } },
});

export const cases: Readonly<Record<string, SpecInput>> = {
  default: inputOf(),
  'cgroup-v1': inputOf({ host: { cgroupVersion: 1 } }),
  arm64: inputOf({ host: { arch: 'arm64' } }),
  'args-command-discards-cmd': inputOf({ spec: { command: ['/own'] } }),
  'args-replace-cmd': inputOf({ spec: { args: ['-v', 'now'] } }),
  'args-both': inputOf({ spec: { command: ['/own'], args: ['-v'] } }),
  'env-override': inputOf({
    spec: {
      env: [
        { name: 'LANG', value: 'de_DE' },
        { name: 'EMPTY', value: '' },
        { name: 'LINES', value: 'a\nb=c' },
        { name: 'PATH', value: '/own' },
      ],
    },
  }),
  'env-odd-keys': inputOf({
    spec: {
      env: [
        { name: '__proto__', value: 'x' },
        { name: 'toString', value: 'y' },
        { name: 'NODE_OPTIONS', value: '--x' },
      ],
    },
  }),
  tty: inputOf({ spec: { tty: true, stdin: true } }),
  'cwd-request-over-image': inputOf({ spec: { workingDir: '/a/./b/../c/' } }),
  'cwd-image-relative': inputOf({ image: { workingDir: 'app' } }),
  user: inputOf({
    input: { user: { uid: 1000, gid: 1001, additionalGids: [1001, 2000], home: '/home/alice' } },
  }),
  'capabilities-add': inputOf({
    security: { capabilities: { add: ['CAP_NET_ADMIN', 'sys_time'], drop: [], addAmbient: [] } },
  }),
  'capabilities-drop-all-add-one': inputOf({
    security: { capabilities: { add: ['CAP_CHOWN'], drop: ['ALL'], addAmbient: [] } },
  }),
  'capabilities-add-all-drop-one': inputOf({
    security: { capabilities: { add: ['ALL'], drop: ['CAP_SYS_ADMIN', 'CAP_NO_SUCH'], addAmbient: [] } },
  }),
  'capabilities-all-is-our-bounding-set': inputOf({
    security: { capabilities: { add: ['ALL'], drop: [], addAmbient: [] } },
    host: { boundingCapabilities: bounding.filter((name) => name !== 'CAP_SYS_RESOURCE') },
  }),
  'capabilities-ambient': inputOf({
    security: { capabilities: { add: [], drop: ['ALL'], addAmbient: ['CAP_NET_BIND_SERVICE'] } },
  }),
  privileged: inputOf({
    security: { privileged: true, noNewPrivs: false, apparmorProfile: 'ignored' },
    sandbox: { privileged: true },
    input: { devices: [kvm, loop] },
  }),
  'seccomp-unconfined': inputOf({ security: { seccomp: { type: 'unconfined', path: '' } } }),
  'seccomp-sys-admin': inputOf({
    security: { capabilities: { add: ['CAP_SYS_ADMIN'], drop: [], addAmbient: [] } },
  }),
  'seccomp-localhost': inputOf({
    security: { seccomp: { type: 'localhost', path: '/profiles/own.json' } },
    input: {
      localSeccomp: parseSeccompProfile(Buffer.from(profile), '/profiles/own.json', {
        arch: 'x64',
        capabilities: [],
        kernelRelease: '6.1.0',
      }),
    },
  }),
  selinux: inputOf({
    spec: {
      selinuxLabels: {
        process: 'system_u:system_r:container_t:s0:c1,c2',
        mount: 'system_u:object_r:container_file_t:s0:c1,c2',
      },
    },
  }),
  unmasked: inputOf({ security: { maskedPaths: [], readonlyPaths: [] } }),
  'readonly-rootfs': inputOf({ security: { readonlyRootfs: true } }),
  apparmor: inputOf({ security: { apparmorProfile: 'own-profile', noNewPrivs: false } }),
  'oom-score-clamped': inputOf({
    resources: { oomScoreAdj: -998 },
    host: { oomScoreAdj: 0, oomScoreAdjCanSink: false },
  }),
  'oom-score-critical': inputOf({ resources: { oomScoreAdj: -997 } }),
  'open-files-low-hard-limit': inputOf({ host: { openFilesHard: 512 } }),
  'host-namespaces': inputOf({
    sandbox: { namespaces: nodeAll, hostname: '' },
    security: { namespaces: nodeAll },
  }),
  'pid-pod': inputOf({
    sandbox: { namespaces: pidOf('pod') },
    security: { namespaces: pidOf('pod') },
    input: { paths: { ...inputOf().paths, pidNamespace: '/proc/4711/ns/pid' } },
  }),
  'pid-target': inputOf({
    security: { namespaces: pidOf('target') },
    input: { paths: { ...inputOf().paths, pidNamespace: '/proc/4712/ns/pid' } },
  }),
  'pid-node': inputOf({ sandbox: { namespaces: pidOf('node') }, security: { namespaces: pidOf('node') } }),
  'mounts-kubelet': inputOf({
    input: mounts(
      mountOf('/dev/termination-log', { hostPath: '/var/lib/kubelet/pods/1/containers/app/ab' }),
      mountOf('/etc/hosts', { hostPath: '/var/lib/kubelet/pods/1/etc-hosts' }),
      mountOf('/var/run/secrets/kubernetes.io/serviceaccount', { readonly: true }),
    ),
  }),
  'mounts-nested-sorted': inputOf({
    input: mounts(mountOf('/data/a/b'), mountOf('/data'), mountOf('/etc'), mountOf('/data/a')),
  }),
  'mounts-whole-dev': inputOf({ input: mounts(mountOf('/dev'), mountOf('/sys', { readonly: true })) }),
  'mounts-propagation': inputOf({
    input: mounts(
      mountOf('/slave', { propagation: 'hostToContainer' }),
      mountOf('/shared', { propagation: 'bidirectional' }),
    ),
  }),
  'mounts-slave-only': inputOf({ input: mounts(mountOf('/slave', { propagation: 'hostToContainer' })) }),
  'mounts-recursive-read-only': inputOf({
    input: mounts(mountOf('/ro', { readonly: true, recursiveReadOnly: true })),
  }),
  'mounts-options': inputOf({
    input: mounts(
      mountOf('/all', { options: ['nodev', 'noexec', 'nosuid'] }),
      mountOf('/one', { readonly: true, options: ['noexec'] }),
    ),
  }),
  'mounts-image-volume': inputOf({
    input: {
      mounts: [
        {
          mount: mountOf('/models', {
            hostPath: '',
            readonly: true,
            options: ['noexec'],
            image: { id: inputOf().spec.imageId, subPath: 'a' },
          }),
          source: '/var/lib/troupe/containers/c/volumes/1/a',
        },
      ],
    },
  }),
  'mounts-image-volume-recursive': inputOf({
    input: {
      mounts: [
        {
          mount: mountOf('/models', {
            hostPath: '',
            readonly: true,
            recursiveReadOnly: true,
            image: { id: inputOf().spec.imageId, subPath: '' },
          }),
          source: '/var/lib/troupe/containers/c/volumes/1',
        },
      ],
    },
  }),
  'mounts-over-ours': inputOf({
    input: mounts(
      mountOf('/etc/resolv.conf'),
      mountOf('/dev/shm'),
      mountOf('/proc/acpi', { readonly: true }),
      mountOf('/sys/fs/cgroup'),
    ),
  }),
  'mounts-of-the-whole-host': inputOf({
    input: {
      mounts: [
        { mount: mountOf('/host', { hostPath: '/', readonly: true }), source: '/', holdsOurs: true },
        {
          mount: mountOf('/rro', { hostPath: '/', readonly: true, recursiveReadOnly: true }),
          source: '/',
          holdsOurs: true,
        },
      ],
    },
  }),
  'mounts-mapped': inputOf({
    input: mounts(
      mountOf('/mapped', { idMappings: user, readonly: true }),
      mountOf('/plain', { readonly: true }),
    ),
  }),
  devices: inputOf({ input: { devices: [kvm, loop] } }),
  'devices-fifo-and-none': inputOf({
    input: {
      devices: [
        { ...kvm, path: '/dev/kvm-none', permissions: '' },
        { ...loop, permissions: 'r' },
      ],
    },
  }),
  'resources-all': inputOf({
    resources: {
      cpuPeriod: 100_000n,
      cpuQuota: 50_000n,
      cpuShares: 512n,
      memoryLimitBytes: 268_435_456n,
      memorySwapLimitBytes: 536_870_912n,
      cpusetCpus: '0-1,3',
      cpusetMems: '0',
      hugepageLimits: [
        { pageSize: '2MB', limitBytes: 0n },
        { pageSize: '64KB', limitBytes: 0n },
      ],
      unified: { 'memory.high': '134217728' },
    },
  }),
  'resources-swap-without-end': inputOf({
    resources: { memoryLimitBytes: 67_108_864n, memorySwapLimitBytes: -1n },
  }),
  'resources-quota-without-end': inputOf({
    resources: { cpuQuota: -1n, cpuPeriod: 100_000n, cpuShares: 2n },
  }),
  'resources-cpusets': inputOf({ resources: { cpusetCpus: '1', cpusetMems: '0-1' } }),
  'resources-int64': inputOf({
    resources: { memoryLimitBytes: 2n ** 63n - 1n, memorySwapLimitBytes: 2n ** 63n - 1n },
  }),
  'resources-hugepages': inputOf({
    resources: {
      hugepageLimits: [
        { pageSize: '2MB', limitBytes: 4_194_304n },
        { pageSize: '1GB', limitBytes: 0n },
      ],
    },
  }),
  'rlimits-by-configuration': inputOf({
    host: {
      rlimits: [
        { type: 'RLIMIT_CORE', soft: 0n, hard: 2n ** 64n - 1n },
        { type: 'RLIMIT_MEMLOCK', soft: 65_536n, hard: 65_536n },
        { type: 'RLIMIT_NOFILE', soft: 4096n, hard: 8192n },
      ],
    },
  }),
  'privileged-read-only-root': inputOf({
    security: { privileged: true, readonlyRootfs: true, noNewPrivs: false },
    sandbox: { privileged: true },
  }),
  'new-privileges-allowed': inputOf({ security: { noNewPrivs: false } }),
  'host-network-own-ipc': inputOf({
    sandbox: { namespaces: { ...nodeAll, ipc: 'pod', pid: 'container' }, hostname: '' },
    security: { namespaces: { ...nodeAll, ipc: 'pod', pid: 'container' } },
  }),
  'resources-memory-without-swap': inputOf({ resources: { memoryLimitBytes: 67_108_864n } }),
  'resources-no-swap-controller': inputOf({
    resources: { memoryLimitBytes: 67_108_864n, memorySwapLimitBytes: -1n },
    host: { swapLimits: false },
  }),
  'resources-hugepages-dropped': inputOf({
    resources: { hugepageLimits: [{ pageSize: '2MB', limitBytes: 0n }] },
    host: { hugepageSizes: [] },
  }),
  'annotations-of-the-pod-stay-out': inputOf({
    spec: { annotations: { 'org.systemd.property.ExecStart': 'x', 'run.oci.handler': 'wasm' } },
    sandbox: {
      annotations: {
        'org.systemd.property.Slice': 'x',
        'io.kubernetes.cri-o.Devices': '/dev/sda',
        'module.wasm.image/variant': 'compat',
      },
    },
  }),
  'user-namespace': usernsPins(
    inputOf({
      sandbox: { namespaces: usernsPod },
      security: { namespaces: usernsPod },
      input: mounts(mountOf('/plain'), mountOf('/mapped', { idMappings: user })),
    }),
  ),
  'user-namespace-all-else-of-the-host': usernsPins(
    inputOf({
      sandbox: { namespaces: usernsNode },
      security: { namespaces: usernsNode },
      host: { messageQueues: true },
    }),
  ),
  'cgroup-parent-of-our-own': inputOf({ sandbox: { cgroupParent: '' } }),
};

/**
 * Those whose golden shows the seccomp profile in full; the others report its size, or each would be 500 lines of the
 * same.
 */
export const withSeccomp: ReadonlySet<string> = new Set([
  'default',
  'arm64',
  'seccomp-sys-admin',
  'seccomp-localhost',
]);
