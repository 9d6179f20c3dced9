/**
 * The paths of all our files: the only place that builds them, so that drivers, recovery and janitor agree.
 * `state` (/run/troupe, a tmpfs) does not survive a reboot, `root` (/var/lib/troupe) does.
 */
import { isAbsolute, join } from 'node:path';
import type { ContainerId, ImageId, SandboxId } from '../../base/ids.ts';
import { fail } from '../../base/fault.ts';
import type { SandboxSpec } from '../../ports/specs.ts';
import { isSlice, runtimeCgroupsPath, sliceCgroup } from '../cgroups/slices.ts';

/** Namespaces of a pod that are pinned by a bind mount. */
export type PinName = 'net' | 'ipc' | 'uts' | 'user';

/** The parent of our cgroups when the client names none. */
const DEFAULT_CGROUP_PARENT = '/troupe';

/** Absolute paths; all functions are pure. */
export interface Layout {
  readonly root: string;
  readonly state: string;

  /** `<state>/containers`: one directory per container. */
  readonly containersDir: string;
  containerDir(id: ContainerId): string;
  /** The directory that the runtime gets with --bundle. */
  bundleDir(id: ContainerId): string;
  configJson(id: ContainerId): string;
  /** The runtime writes init's pid here. */
  pidFile(id: ContainerId): string;
  /** The monitor writes its own pid here. */
  monitorPidFile(id: ContainerId): string;
  /** The monitor's attach socket. */
  attachSocket(id: ContainerId): string;
  /** The monitor's control FIFO: resize, log reopen. */
  controlFifo(id: ContainerId): string;

  /** `<state>/exits`: one file per ended container, named by its id. */
  readonly exitsDir: string;
  exitFile(id: ContainerId): string;

  /** `<state>/sandboxes`: one directory per sandbox. */
  readonly sandboxesDir: string;
  sandboxDir(id: SandboxId): string;
  sandboxFiles(id: SandboxId): SandboxFiles;
  /**
   * The tmpfs that holds the files of `sandboxFiles`, which are links into it; /dev/shm is a separate tmpfs.
   */
  sandboxEtc(id: SandboxId): string;
  /** The pause container's bundle; its root file system is `pauseRootfs`. */
  pauseBundleDir(id: SandboxId): string;
  pausePidFile(id: SandboxId): string;

  /** `<state>/ns`: one directory per sandbox. */
  readonly pinsDir: string;
  pinDir(id: SandboxId): string;
  pin(id: SandboxId, kind: PinName): string;

  /** `<state>/runtimes`: one state root (runc's --root) per handler. */
  readonly runtimesDir: string;
  /**
   * `<state>/shims`: our socket for shims' events, and the sockets of shims that accept a directory from us.
   */
  readonly shimsDir: string;
  /** `<state>/handlers`: what is stored about each configured handler. */
  readonly handlersDir: string;
  runtimeRoot(handler: string): string;

  /** `<state>/helpers.json`: by it a later boot recognises this boot's helpers. */
  readonly helpersFile: string;
  /** `<state>/relays`: daemons that have handed over and hold sessions of before. */
  readonly relaysDir: string;
  /** `<state>/take-over.sock`: where a daemon that takes over connects. */
  readonly takeOverSocket: string;

  /**
   * A directory with only the pause program in it, shared read-only by all sandboxes. Below `root`, since
   * many distributions mount /run noexec.
   */
  readonly pauseRootfs: string;

  /** Programs of ours that stand in for a runtime; below `root` for the same reason. */
  readonly standInsDir: string;

  /** The program that creates user namespaces; below `root` for the same reason. */
  readonly usernsProgram: string;

  /**
   * `<root>/checkpoints`: data of checkpoints in progress, which may be as large as the containers' memory.
   */
  readonly checkpointsDir: string;

  /** `<root>/restores`: data that containers are restored from, until they run. */
  readonly restoresDir: string;
  restoreDir(id: ContainerId): string;

  /** Log directory of a sandbox whose client names none; troupe removes it. */
  ownLogDirectory(id: SandboxId): string;

  /** `<root>/containers`: what containers wrote. */
  readonly rootfsesDir: string;
  /** The storage driver's directory of a container: its rootfs and what the driver needs besides. */
  storageDir(id: ContainerId): string;
  /** Mount point of the container's root file system. */
  rootfs(id: ContainerId): string;
  /** Mount point of an image that the container has as a volume. */
  imageVolume(id: ContainerId, image: ImageId): string;
}

/** The files that all containers of a pod share. */
export interface SandboxFiles {
  readonly resolvConf: string;
  readonly hostname: string;
  readonly hosts: string;
  /** A tmpfs. */
  readonly shm: string;
}

/** Valid names of a handler's state directory: they become a path and an argument. */
const HANDLER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u;

/**
 * The layout below two absolute directories. Throws `invalidRequest` when one is not absolute: a relative one
 * would depend on the working directory.
 */
export function createLayout(base: { readonly root: string; readonly state: string }): Layout {
  const { root, state } = base;
  for (const path of [root, state]) {
    if (!isAbsolute(path))
      fail('invalidRequest', `use directory ${path}: not an absolute path`, { subject: path });
  }
  const containersDir = join(state, 'containers');
  const exitsDir = join(state, 'exits');
  const sandboxesDir = join(state, 'sandboxes');
  const pinsDir = join(state, 'ns');
  const runtimesDir = join(state, 'runtimes');
  const rootfsesDir = join(root, 'containers');
  return {
    root,
    state,
    containersDir,
    containerDir: (id) => join(containersDir, id),
    bundleDir: (id) => join(containersDir, id, 'bundle'),
    configJson: (id) => join(containersDir, id, 'bundle', 'config.json'),
    pidFile: (id) => join(containersDir, id, 'pidfile'),
    monitorPidFile: (id) => join(containersDir, id, 'conmon.pid'),
    attachSocket: (id) => join(containersDir, id, 'bundle', 'attach'),
    controlFifo: (id) => join(containersDir, id, 'bundle', 'ctl'),
    exitsDir,
    exitFile: (id) => join(exitsDir, id),
    sandboxesDir,
    sandboxDir: (id) => join(sandboxesDir, id),
    sandboxFiles: (id) => ({
      resolvConf: join(sandboxesDir, id, 'resolv.conf'),
      hostname: join(sandboxesDir, id, 'hostname'),
      hosts: join(sandboxesDir, id, 'hosts'),
      shm: join(sandboxesDir, id, 'shm'),
    }),
    sandboxEtc: (id) => join(sandboxesDir, id, 'etc'),
    pauseBundleDir: (id) => join(sandboxesDir, id, 'pause'),
    pausePidFile: (id) => join(sandboxesDir, id, 'pause.pid'),
    pinsDir,
    pinDir: (id) => join(pinsDir, id),
    pin: (id, kind) => join(pinsDir, id, kind),
    runtimesDir,
    handlersDir: join(state, 'handlers'),
    helpersFile: join(state, 'helpers.json'),
    relaysDir: join(state, 'relays'),
    takeOverSocket: join(state, 'take-over.sock'),
    shimsDir: join(state, 'shims'),
    runtimeRoot: (handler) => join(runtimesDir, handlerName(handler)),
    pauseRootfs: join(root, 'pause-rootfs'),
    usernsProgram: join(root, 'userns-program'),
    standInsDir: join(root, 'stand-ins'),
    checkpointsDir: join(root, 'checkpoints'),
    restoresDir: join(root, 'restores'),
    restoreDir: (id) => join(root, 'restores', id),
    ownLogDirectory: (id) => join(root, 'logs', id),
    rootfsesDir,
    storageDir: (id) => join(rootfsesDir, id),
    rootfs: (id) => join(rootfsesDir, id, 'rootfs'),
    imageVolume: (id, image) => join(rootfsesDir, id, 'volumes', image.slice('sha256:'.length)),
  };
}

/** The handler's name; the caller must have resolved the empty name (the default handler). */
function handlerName(handler: string): string {
  if (!HANDLER.test(handler)) {
    fail(
      'invalidRequest',
      `find the state directory of runtime handler ${JSON.stringify(handler)}: not a plain name`,
      {
        subject: handler,
      },
    );
  }
  return handler;
}

/**
 * A container's cgroup, relative to each hierarchy's root. Below a slice it is inside a scope shared with its
 * monitor, each in its own leaf: systemd removes a scope with its last process, and the container's OOM
 * counters must exist until the monitor has read them.
 */
export function containerCgroup(cgroupParent: string, id: ContainerId): string {
  return isSlice(cgroupParent)
    ? join(containerScope(cgroupParent, id), 'container')
    : join(cgroupParentOf(cgroupParent), `troupe-${id}`);
}

/**
 * `linux.cgroupsPath` of a container: its cgroup, in our scope where it has one. Below a slice a shim gets a scope
 * beside ours, as for its sandbox, since a runtime wants all of a pod in one notation: Kata's agent would make the one
 * by systemd and the other behind systemd's back, and runsc with `systemd-cgroup` refuses a path. Not our scope, which
 * has the monitor: runsc stops the unit when it deletes the container.
 */
export function cgroupsPathOf(
  { cgroupParent, runtime }: Pick<SandboxSpec, 'cgroupParent' | 'runtime'>,
  id: ContainerId,
): string {
  return runtime?.needsPause === true && isSlice(cgroupParent)
    ? runtimeCgroupsPath(guestScope(cgroupParentOf(cgroupParent), id))
    : containerCgroup(cgroupParent, id);
}

/** The scope of a container in a shim, below a slice's cgroup. Most shims have all in the sandbox's scope. */
export function guestScope(slice: string, id: ContainerId): string {
  return join(slice, `troupe-vm-${id}.scope`);
}

function containerScope(cgroupParent: string, id: ContainerId): string {
  return join(cgroupParentOf(cgroupParent), `troupe-${id}.scope`);
}

/** False below a slice, where the pause process has its own scope and each monitor is in its container's. */
export function hasSandboxCgroup(cgroupParent: string): boolean {
  return !isSlice(cgroupParent);
}

/**
 * The sandbox's own cgroup, where it has one, for the pause process and the monitors. Its parent is the
 * kubelet's.
 */
export function sandboxCgroup(cgroupParent: string, id: SandboxId): string {
  return join(cgroupParentOf(cgroupParent), `troupe-sandbox-${id}`);
}

/**
 * The cgroup of a container's monitor: a leaf of the sandbox's cgroup or of its container's scope, since on
 * v2 a cgroup with enabled controllers and children holds no processes.
 */
export function monitorCgroup(cgroupParent: string, sandboxId: SandboxId, id: ContainerId): string {
  if (isSlice(cgroupParent)) return join(containerScope(cgroupParent, id), 'monitor');
  return join(sandboxCgroup(cgroupParent, sandboxId), 'monitors');
}

/**
 * The cgroup of the programs that serve a container's root file system, so that their memory is accounted to
 * the pod: that of the pod's monitors. Below a slice the container's scope does not exist yet, and each
 * program gets a scope of this name with its pid (`scopeOfProcess`).
 */
export function helperCgroup(cgroupParent: string, sandboxId: SandboxId, id: ContainerId): string {
  if (isSlice(cgroupParent)) return join(cgroupParentOf(cgroupParent), `troupe-fuse-${id}.scope`);
  return monitorCgroup(cgroupParent, sandboxId, id);
}

/**
 * The pause process's cgroup, inside the sandbox's: the runtime deletes the cgroup that it is given together
 * with the container, and newer versions of runc refuse one that has processes, such as our monitors.
 */
export function pauseCgroup(cgroupParent: string, id: SandboxId): string {
  if (isSlice(cgroupParent)) return join(cgroupParentOf(cgroupParent), `troupe-pause-${id}.scope`);
  return join(sandboxCgroup(cgroupParent, id), 'pause');
}

/**
 * The parent of a pod's cgroups: the client's, or ours when it names none. Throws `invalidRequest` on `.` and
 * `..`. The form of the parent, recorded with each pod, determines the cgroup driver: existing pods keep
 * theirs when the configured driver changes.
 */
export function cgroupParentOf(cgroupParent: string): string {
  if (cgroupParent === '') return DEFAULT_CGROUP_PARENT;
  if (cgroupParent.includes('\0') || cgroupParent.split('/').some((part) => part === '..' || part === '.')) {
    fail('invalidRequest', `use cgroup_parent ${cgroupParent}: must not contain . or ..`, {
      subject: 'linux.cgroup_parent',
    });
  }
  return isSlice(cgroupParent) ? sliceCgroup(cgroupParent) : join('/', cgroupParent);
}
