// CreateContainer: what must be refused, with which code, and that nothing is left of it.
import { existsSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type {
  MountPropagation,
  SecurityProfile_ProfileType,
  Signal,
  SupplementalGroupsPolicy,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import type { Code } from '../expect.ts';
import { holds, refused, same } from '../expect.ts';
import { type Group, row } from '../row.ts';
import type { ContainerConfig } from '../stage.ts';
import { resources, security } from '../trial.ts';

type Refusal = readonly [
  subject: string,
  claim: string,
  change: ContainerConfig,
  code?: Code | readonly Code[],
];

const utf8 = (text: string): Uint8Array => Buffer.from(text);
const env = (key: string, value: string): ContainerConfig => ({ envs: [{ key, value: utf8(value) }] });
type Mount = Extract<NonNullable<ContainerConfig['mounts']>[number], { readonly $typeName?: never }>;
const mount = (change: Mount): ContainerConfig => ({
  mounts: [{ containerPath: '/mnt', hostPath: '/tmp', ...change }],
});
const device = (change: object): ContainerConfig => ({
  devices: [{ containerPath: '/dev/x', hostPath: '/dev/null', permissions: 'rw', ...change }],
});

const refusals: readonly Refusal[] = [
  ['metadata.name', 'empty', { metadata: { name: '' } }],
  ['metadata.name', 'with a line break', { metadata: { name: 'a\nb' } }],
  ['metadata.name', 'of 5000 characters', { metadata: { name: 'a'.repeat(5000) } }],
  ['image.image', 'empty', { image: { image: '' } }],
  [
    'image.image',
    'not here: NotFound, for CreateContainer pulls nothing',
    { image: { image: 'registry.invalid/never/pulled:1' } },
    'NOT_FOUND',
  ],
  ['image.image', 'with a line break', { image: { image: 'busybox\nx' } }],
  ['command', 'with a NUL', { command: ['sh', 'a\0b'] }],
  ['args', 'with a NUL', { args: ['a\0b'] }],
  ['args', 'one of 200 KiB, which execve refuses', { args: ['x'.repeat(200 * 1024)] }],
  ['working_dir', 'relative', { workingDir: 'tmp' }],
  ['working_dir', 'with ..', { workingDir: '/tmp/../../etc' }],
  ['working_dir', 'with a NUL', { workingDir: '/tmp\0' }],
  ['envs.key', 'empty', env('', 'x')],
  ['envs.key', 'with =', env('A=B', 'x')],
  ['envs.key', 'with a NUL', env('A\0', 'x')],
  ['envs.value', 'with a NUL', env('A', 'x\0y')],
  [
    'envs.value',
    'a line break in HOME, which would be a line of passwd (S04)',
    env('HOME', '/root\nx:x:0:0::/:/bin/sh'),
  ],
  ['log_path', 'with .. (S75)', { logPath: '../../escape.log' }],
  ['log_path', 'absolute (S75)', { logPath: '/tmp/cri-conformance-escape.log' }],
  ['log_path', 'with a line break', { logPath: 'a\nb.log' }],
  ['log_path', 'a directory', { logPath: 'logs/' }],
  ['mounts.container_path', 'empty', mount({ containerPath: '' })],
  ['mounts.container_path', 'relative', mount({ containerPath: 'mnt' })],
  ['mounts.container_path', 'with ..', mount({ containerPath: '/mnt/../../x' })],
  ['mounts.container_path', 'the root directory', mount({ containerPath: '/' })],
  ['mounts.host_path', 'relative', mount({ hostPath: 'tmp' })],
  ['mounts.host_path', 'with a NUL', mount({ hostPath: '/tmp\0x' })],
  ['mounts.propagation', 'an unknown number', mount({ propagation: 9 as MountPropagation })],
  [
    'mounts.recursive_read_only',
    'without readonly',
    mount({ recursiveReadOnly: true }),
    ['INVALID_ARGUMENT', 'UNKNOWN'],
  ],
  [
    'mounts.recursive_read_only',
    'with propagation',
    mount({ recursiveReadOnly: true, readonly: true, propagation: 1 }),
    ['INVALID_ARGUMENT', 'UNKNOWN'],
  ],
  [
    'mounts.image',
    'not here',
    mount({ hostPath: '', readonly: true, image: { image: 'registry.invalid/never/pulled:1' } }),
    ['NOT_FOUND', 'UNKNOWN'],
  ],
  ['mounts.image', 'beside a host_path', mount({ readonly: true, image: { image: 'x' } })],
  ['mounts.image_sub_path', 'without an image', mount({ imageSubPath: 'x' })],
  ['mounts.mount_options', 'one that the contract has not', mount({ mountOptions: ['exec'] })],
  [
    'mounts.uidMappings',
    'without gidMappings',
    mount({ uidMappings: [{ hostId: 1, containerId: 0, length: 1 }] }),
  ],
  [
    'devices.host_path',
    'missing on the host',
    device({ hostPath: '/dev/no-such-device' }),
    ['INVALID_ARGUMENT', 'NOT_FOUND'],
  ],
  ['devices.host_path', 'no device but a file', device({ hostPath: '/etc/passwd' })],
  ['devices.permissions', 'with another letter', device({ permissions: 'rwx' })],
  ['devices.container_path', 'relative', device({ containerPath: 'dev/x' })],
  [
    'CDI_devices',
    'one that nobody has declared',
    { CDIDevices: [{ name: 'vendor.example/device=none' }] },
    ['INVALID_ARGUMENT', 'NOT_FOUND'],
  ],
  ['CDI_devices', 'no CDI name', { CDIDevices: [{ name: '../../etc' }] }],
  ['stop_signal', 'an unknown number', { stopSignal: 200 as Signal }],
  ['windows', 'on Linux', { windows: {} }],
  ['run_as_group', 'without a user', security({ runAsGroup: { value: 5n } })],
  ['run_as_user', 'negative', security({ runAsUser: { value: -1n } })],
  ['run_as_user', '2^32, which wraps round to root (S25)', security({ runAsUser: { value: 2n ** 32n } })],
  ['run_as_group', '2^32', security({ runAsUser: { value: 1n }, runAsGroup: { value: 2n ** 32n } })],
  [
    'run_as_username',
    'not in the image',
    security({ runAsUsername: 'no-such-user' }),
    ['INVALID_ARGUMENT', 'NOT_FOUND', 'FAILED_PRECONDITION'],
  ],
  ['run_as_username', 'a number (S26)', security({ runAsUsername: '0' })],
  ['run_as_username', 'with a colon', security({ runAsUsername: 'root:x' })],
  [
    'run_as_username',
    'together with run_as_user',
    security({ runAsUsername: 'root', runAsUser: { value: 1n } }),
  ],
  ['supplemental_groups', 'negative', security({ supplementalGroups: [-1n] })],
  [
    'supplemental_groups_policy',
    'an unknown number',
    security({ supplementalGroupsPolicy: 7 as SupplementalGroupsPolicy }),
  ],
  ['capabilities', 'an unknown one to add', security({ capabilities: { addCapabilities: ['NO_SUCH_CAP'] } })],
  [
    'capabilities',
    'an unknown one to add to the ambient set',
    security({ capabilities: { addAmbientCapabilities: ['NO_SUCH_CAP'] } }),
  ],
  ['capabilities', 'text that is no name', security({ capabilities: { addCapabilities: ['CAP_CHOWN\n'] } })],
  ['masked_paths', 'relative', security({ maskedPaths: ['proc/kcore'] })],
  ['readonly_paths', 'relative', security({ readonlyPaths: ['proc/sys'] })],
  [
    'seccomp',
    'Localhost, a profile that is not there',
    security({ seccomp: { profileType: 2, localhostRef: '/no/such/profile.json' } }),
    ['INVALID_ARGUMENT', 'NOT_FOUND'],
  ],
  [
    'seccomp',
    'Localhost, a file that is no profile',
    security({ seccomp: { profileType: 2, localhostRef: '/etc/passwd' } }),
  ],
  [
    'seccomp',
    'Localhost, a device that never ends',
    security({ seccomp: { profileType: 2, localhostRef: '/dev/zero' } }),
  ],
  [
    'seccomp',
    'RuntimeDefault with a localhost_ref',
    security({ seccomp: { profileType: 0, localhostRef: '/x' } }),
  ],
  ['seccomp_profile_path', 'text that is no profile', security({ seccompProfilePath: 'whatever' })],
  [
    'apparmor',
    'a number that is no type',
    security({ apparmor: { profileType: 9 as SecurityProfile_ProfileType } }),
  ],
  ['selinux_options', 'a type with a colon', security({ selinuxOptions: { type: 'a:b' } })],
  [
    'namespace_options.network',
    'POD, but the pod is on the host network',
    security({ namespaceOptions: { pid: 1, network: 0 } }),
  ],
  [
    'namespace_options.ipc',
    'NODE, but the pod has its own',
    security({ namespaceOptions: { pid: 1, network: 2, ipc: 2 } }),
  ],
  [
    'namespace_options.pid',
    'TARGET without a target_id',
    security({ namespaceOptions: { pid: 3, network: 2 } }),
  ],
  [
    'namespace_options.pid',
    'TARGET of an unknown container',
    security({ namespaceOptions: { pid: 3, network: 2, targetId: 'f'.repeat(64) } }),
    ['INVALID_ARGUMENT', 'NOT_FOUND'],
  ],
  [
    'namespace_options.target_id',
    'without TARGET',
    security({ namespaceOptions: { pid: 1, network: 2, targetId: 'f'.repeat(64) } }),
  ],
  [
    'userns_options',
    'in a pod that has no user namespace',
    security({
      namespaceOptions: {
        pid: 1,
        network: 2,
        usernsOptions: {
          mode: 0,
          uids: [{ hostId: 100_000, containerId: 0, length: 10 }],
          gids: [{ hostId: 100_000, containerId: 0, length: 10 }],
        },
      },
    }),
  ],
  ['resources.memory_limit_in_bytes', 'negative', resources({ memoryLimitInBytes: -5n })],
  [
    'resources.memory_swap_limit_in_bytes',
    'below the memory limit',
    resources({ memoryLimitInBytes: 2n ** 26n, memorySwapLimitInBytes: 2n ** 25n }),
  ],
  ['resources.cpu_period', "beyond the kernel's bounds", resources({ cpuPeriod: 5n })],
  ['resources.cpu_quota', "below the kernel's least", resources({ cpuQuota: 5n, cpuPeriod: 100_000n })],
  ['resources.cpu_shares', 'negative', resources({ cpuShares: -1n })],
  ['resources.cpuset_cpus', 'no list', resources({ cpusetCpus: '0-x' })],
  [
    'resources.cpuset_cpus',
    'a CPU that the machine has not',
    resources({ cpusetCpus: '4000' }),
    ['INVALID_ARGUMENT', 'UNKNOWN', 'FAILED_PRECONDITION'],
  ],
  ['resources.oom_score_adj', 'beyond 1000', resources({ oomScoreAdj: 1001n })],
  [
    'resources.hugepage_limits',
    'an invalid size',
    resources({ hugepageLimits: [{ pageSize: '../2MB', limit: 1n }] }),
  ],
  ['resources.unified', 'a key with a slash', resources({ unified: { '../cgroup.procs': '1' } })],
];

export const containerRefusals: Group = {
  title: 'CreateContainer: refusals',
  perHandler: false,
  rows: [
    row(
      'config',
      'missing is InvalidArgument',
      async (t) =>
        await refused(t.runtime.createContainer({ podSandboxId: (await t.plain()).id }), 'INVALID_ARGUMENT'),
    ),
    row('config.metadata', 'missing is InvalidArgument', async (t) => {
      const { metadata: _none, ...config } = await t.container();
      await refused(
        t.runtime.createContainer({ podSandboxId: (await t.plain()).id, config }),
        'INVALID_ARGUMENT',
      );
    }),
    ...refusals.map(([subject, claim, change, code = 'INVALID_ARGUMENT']) =>
      row(subject, `${claim}: refused, nothing is left`, async (t) => await t.createRefused(change, code)),
    ),
    row('image', 'an image whose USER is not in it: refused, nothing is left', async (t) => {
      await t.createRefused(
        { image: { image: await t.stage.imageId('conf/nobody:1') } },
        ['INVALID_ARGUMENT', 'NOT_FOUND', 'FAILED_PRECONDITION'],
        /no-such-user/u,
      );
    }),
    row('command', 'none, and none in the image: refused', async (t) => {
      await t.createRefused(
        { image: { image: await t.stage.imageId('conf/bare:1') }, command: [], args: [] },
        ['INVALID_ARGUMENT', 'FAILED_PRECONDITION'],
      );
    }),
    row('TARGET', 'a container of another pod: refused (K)', async (t) => {
      const other = await t.pod();
      const targetId = await t.start({}, other);
      await t.createRefused(security({ namespaceOptions: { pid: 3, network: 2, targetId } }), [
        'INVALID_ARGUMENT',
        'NOT_FOUND',
      ]);
    }),
    row('TARGET', 'a container that has ended: refused', async (t) => {
      const { id: targetId } = await t.run({ command: ['true'] });
      await t.createRefused(security({ namespaceOptions: { pid: 3, network: 2, targetId } }), [
        'INVALID_ARGUMENT',
        'FAILED_PRECONDITION',
      ]);
    }),
    row('log_path', 'a symbolic link in the log directory is not followed (S75)', async (t) => {
      const pod = await t.pod();
      const outside = await t.directory();
      symlinkSync(outside, join(pod.logs, 'link'));
      const call = t.run({ command: ['echo', 'escaped'], logPath: 'link/x.log' }, pod);
      await call.catch(() => {});
      same(readdirSync(outside), []);
    }),
    row('log_path', 'a symbolic link as the log itself is not written through (S32)', async (t) => {
      const pod = await t.pod();
      const target = join(await t.directory(), 'target');
      symlinkSync(target, join(pod.logs, 'x.log'));
      await t.run({ command: ['echo', 'escaped'], logPath: 'x.log' }, pod).catch(() => {});

      holds(!existsSync(target), 'it was written through');
    }),
    row('metadata', 'a refused create frees the name at once', async (t) => {
      const { id: podSandboxId, config: sandboxConfig } = await t.plain();
      const config = await t.container();
      await refused(
        t.runtime.createContainer({
          podSandboxId,
          config: { ...config, image: { image: 'registry.invalid/never:1' } },
          sandboxConfig,
        }),
        'NOT_FOUND',
      );
      await t.createFrom(config);
    }),
  ],
};
