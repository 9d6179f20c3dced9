/** The `mounts` of the document: the default ones, and the request's over them. */
import { posix } from 'node:path';
import type { Mount, SandboxSpec } from '../../../ports/specs.ts';
import { fail } from '../../../base/fault.ts';
import type { ResolvedMount, SpecInput } from './input.ts';
import type { OciMount } from './types.ts';
import { idMappings } from './userns.ts';

const PROPAGATION = { private: 'rprivate', hostToContainer: 'rslave', bidirectional: 'rshared' } as const;
/** Group tty, on every distribution (FHS). */
const TTY_GROUP = 5;

/** All mounts in the order in which they must be made: parents first. */
export function mountsOf(input: SpecInput): readonly OciMount[] {
  const asked = input.mounts.map((resolved) =>
    requestedMount(resolved, input.handler.recursiveReadOnlyMounts),
  );
  const kept = defaultMounts(input).filter(
    ({ destination }) => !asked.some((mount) => replaces(mount.destination, destination)),
  );
  return byDepth([...kept, ...asked]);
}

/** Parents first, as they must be made; mounts of equal depth keep their order. */
export function byDepth(mounts: readonly OciMount[]): readonly OciMount[] {
  return mounts
    .map((mount, at) => ({ mount, at, depth: depthOf(mount.destination) }))
    .sort((a, b) => a.depth - b.depth || a.at - b.at)
    .map(({ mount }) => mount);
}

/**
 * `linux.rootfsPropagation`: a mount can only be shared or slave if the root is at least that. Undefined for the
 * runtime's default.
 */
export function rootfsPropagation(mounts: readonly ResolvedMount[]): string | undefined {
  if (mounts.some(({ mount }) => mount.propagation === 'bidirectional')) return 'rshared';
  return mounts.some((resolved) => propagationOf(resolved) === PROPAGATION.hostToContainer)
    ? 'rslave'
    : undefined;
}

/**
 * Whether a requested mount replaces a default one: the same destination; or /dev or /sys as a whole, since default
 * mounts below it would cover the volume again.
 */
function replaces(asked: string, ours: string): boolean {
  return asked === ours || ((asked === '/dev' || asked === '/sys') && ours.startsWith(`${asked}/`));
}

function depthOf(path: string): number {
  return path === '/' ? 0 : path.split('/').length;
}

function defaultMounts(input: SpecInput): readonly OciMount[] {
  const { spec, sandbox } = input;
  const { privileged } = spec.security;
  const { files } = input.paths;
  const sysMode = privileged ? 'rw' : 'ro';
  const shm = sandbox.namespaces.ipc === 'node' ? '/dev/shm' : files.shm;
  const rootMode = spec.security.readonlyRootfs ? 'ro' : 'rw';
  return [
    ...ownedMount(input, 'pid', {
      destination: '/proc',
      type: 'proc',
      source: 'proc',
      options: ['nosuid', 'noexec', 'nodev'],
    }),
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    terminals(sandbox),
    ...ownedMount(input, 'ipc', {
      destination: '/dev/mqueue',
      type: 'mqueue',
      source: 'mqueue',
      options: ['nosuid', 'noexec', 'nodev'],
    }),
    bind('/dev/shm', shm, ['rw', 'nosuid', 'noexec', 'nodev']),
    ...ownedMount(input, 'network', {
      destination: '/sys',
      type: 'sysfs',
      source: 'sysfs',
      options: ['nosuid', 'noexec', 'nodev', sysMode],
    }),
    ...(privileged && sandbox.namespaces.network === 'pod' && sandbox.namespaces.user === undefined
      ? [WRITABLE_SYS]
      : []),
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: ['nosuid', 'noexec', 'nodev', 'relatime', sysMode],
    },
    bind('/etc/resolv.conf', files.resolvConf, [rootMode, 'nosuid', 'noexec', 'nodev']),
    bind('/etc/hostname', files.hostname, ['ro', 'nosuid', 'noexec', 'nodev']),
    // the kubelet mounts its own over it; crictl does not, and containerd uses the sandbox's file then, too
    bind('/etc/hosts', files.hosts, [rootMode, 'nosuid', 'noexec', 'nodev']),
  ];
}

/**
 * Remounts /sys writable for a privileged container. All mounts of a network namespace's sysfs share one file system,
 * and runc makes that read-only with the pod's first container that is not privileged (containerd#8445). Mounts of
 * other containers stay read-only by their own flags. Not possible in a user namespace, since the file system is the
 * host's.
 */
const WRITABLE_SYS: OciMount = {
  destination: '/sys',
  type: 'sysfs',
  source: 'sysfs',
  options: ['remount', 'nosuid', 'noexec', 'nodev', 'rw'],
};

function terminals(sandbox: SandboxSpec): OciMount {
  // mode and ptmxmode as in containerd and CRI-O
  const options = ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'];
  return {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: hasTtyGroup(sandbox) ? [...options, 'gid=5'] : options,
  };
}

/** A user namespace may not map group 5, and the kernel refuses an unmapped id. */
function hasTtyGroup({ namespaces: { user } }: SandboxSpec): boolean {
  return user === undefined || user.gids.length > TTY_GROUP;
}

/**
 * The file system of a namespace can be mounted only in the user namespace that owns it. So in a pod with a user
 * namespace, file systems of the host's namespaces are bind-mounted from the host instead, recursively: the kernel
 * refuses a part of such a tree (mount_namespaces(7), locked mounts).
 */
function ownedMount(input: SpecInput, kind: 'pid' | 'ipc' | 'network', mount: OciMount): readonly OciMount[] {
  const { spec, sandbox, handler, host } = input;
  const own = spec.security.namespaces.pid;
  const isHosts = kind === 'pid' && own !== 'pod' ? own === 'node' : sandbox.namespaces[kind] === 'node';
  if (sandbox.namespaces.user === undefined || !isHosts) return [mount];
  // many hosts do not mount it
  if (kind === 'ipc' && host.messageQueues !== true) return [];
  const isReadOnly = mount.options.includes('ro');
  if (isReadOnly && !handler.recursiveReadOnlyMounts) {
    fail(
      'unsupported',
      `show ${mount.destination} of the host in a user namespace: the runtime handler has no recursive read-only mounts`,
      {
        subject: `linux.security_context.namespace_options.${kind}`,
      },
    );
  }
  const others = mount.options.filter((option) => option !== 'ro' && option !== 'rw');
  return [bind(mount.destination, mount.destination, [...others, isReadOnly ? 'rro' : 'rw'])];
}

function bind(destination: string, source: string, options: readonly string[]): OciMount {
  return { destination, type: 'bind', source, options: ['rbind', 'rprivate', ...options] };
}

/** Fixed options of an image volume: no devices, no programs, no set-user-ID (CRI-O; Kubernetes' documentation). */
const IMAGE_OPTIONS = ['nodev', 'noexec', 'nosuid'];

/**
 * Propagation of a mount. A private recursive copy of the host's mounts would keep the root file systems of other
 * containers mounted, and their disk space in use, as long as this container runs (agents that mount `/` run for
 * months). So it receives unmounts, as in CRI-O. Recursively read-only mounts must be private by the CRI.
 */
function propagationOf({ mount, holdsOurs }: ResolvedMount): string {
  if (mount.propagation === 'private' && holdsOurs === true && !mount.recursiveReadOnly)
    return PROPAGATION.hostToContainer;
  return PROPAGATION[mount.propagation];
}

function requestedMount(resolved: ResolvedMount, canReadOnly: boolean): OciMount {
  const { mount, source } = resolved;
  const destination = containerPath(mount);
  return {
    destination,
    type: 'bind',
    source,
    options: [
      'rbind',
      propagationOf(resolved),
      accessMode(mount, canReadOnly),
      ...(mount.image === undefined ? (mount.options ?? []) : IMAGE_OPTIONS),
      ...(mount.idMappings === undefined ? [] : ['idmap']),
    ],
    ...idMappings(mount.idMappings),
  };
}

/** What is mounted, for messages. */
export function sourceName({ hostPath, image }: Mount): string {
  return image === undefined ? hostPath : `image ${image.id}`;
}

/** Absolute and normalized. Throws `invalidRequest` for an empty path, a NUL, and the root itself. */
export function containerPath(mount: Mount): string {
  const { containerPath: asked } = mount;
  const clean = posix.join('/', asked);
  const path = clean.length > 1 && clean.endsWith('/') ? clean.slice(0, -1) : clean;
  if (asked === '' || asked.includes('\0') || path === '/') {
    fail(
      'invalidRequest',
      `mount ${sourceName(mount)} at ${JSON.stringify(asked)}: not a path inside the container`,
      {
        subject: 'mounts.container_path',
      },
    );
  }
  return path;
}

function accessMode(mount: Mount, canReadOnly: boolean): string {
  if (!mount.recursiveReadOnly) return mount.readonly ? 'ro' : 'rw';
  const refuse = (reason: string): never =>
    fail(
      'invalidRequest',
      `mount ${mount.hostPath} at ${mount.containerPath} recursively read-only: ${reason}`,
      {
        subject: 'mounts.recursive_read_only',
      },
    );
  if (!mount.readonly) refuse('readonly must be set too');
  if (mount.propagation !== 'private') refuse('propagation must be private');
  if (!canReadOnly) refuse('the runtime handler does not support it');
  return 'rro';
}
