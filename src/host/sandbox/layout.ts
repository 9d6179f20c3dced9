/**
 * Where everything of ours lies on disk: the one place that joins these paths, so that the drivers, recovery
 * and the janitor agree. `state` is gone after a reboot (a tmpfs, /run/troupe), `root` stays (/var/lib/troupe).
 */
import { isAbsolute, join } from 'node:path';
import type { ContainerId, ImageId, SandboxId } from '../../base/ids.ts';
import { fail } from '../../base/fault.ts';
import { isSlice, sliceCgroup } from '../cgroups/slices.ts';

/** Namespaces of a pod that are kept by a bind mount. */
export type PinKind = 'net' | 'ipc' | 'uts' | 'user';

/** The parent of our cgroups where the client names none. */
export const DEFAULT_CGROUP_PARENT = '/troupe';

/** Absolute paths; all functions are pure. */
export interface Layout {
  readonly root: string;
  readonly state: string;

  /** `<state>/containers`: one directory per container. */
  readonly containersDir: string;
  containerDir(id: ContainerId): string;
  /** What the runtime is pointed at with --bundle. */
  bundleDir(id: ContainerId): string;
  configJson(id: ContainerId): string;
  /** Where the runtime writes init's pid. */
  pidFile(id: ContainerId): string;
  /** Where the monitor writes its own pid. */
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
  /** The tmpfs that has the files of `sandboxFiles`, which are links into it; of /dev/shm there is one of its own. */
  sandboxEtc(id: SandboxId): string;
  /** The pause container's bundle; its root file system is `pauseRootfs`. */
  pauseBundleDir(id: SandboxId): string;
  pausePidFile(id: SandboxId): string;

  /** `<state>/ns`: one directory per sandbox. */
  readonly pinsDir: string;
  pinDir(id: SandboxId): string;
  pin(id: SandboxId, kind: PinKind): string;

  /** `<state>/runtimes`: one state root (runc's --root) per handler. */
  readonly runtimesDir: string;
  /** `<state>/shims`: our socket for their events, and theirs where they take a directory from us. */
  readonly shimsDir: string;
  /** `<state>/handlers`: what is kept of each handler that was configured. */
  readonly handlersDir: string;
  runtimeRoot(handler: string): string;

  /** `<state>/helpers.json`: by what a later daemon knows the helpers of this one. */
  readonly helpersFile: string;

  /**
   * A directory that holds the pause program and nothing else; shared by all sandboxes, read-only to them. Below
   * `root`: many distributions mount /run noexec.
   */
  readonly pauseRootfs: string;

  /** Programs of ours that stand in for a runtime; below `root` for the same reason. */
  readonly standInsDir: string;

  /** The program that makes user namespaces; below `root` for the same reason. */
  readonly usernsProgram: string;

  /** `<root>/checkpoints`: what is being read of containers, and may be as large as their memory. */
  readonly checkpointsDir: string;

  /** `<root>/restores`: what containers are to be restored from, until they run. */
  readonly restoresDir: string;
  restoreDir(id: ContainerId): string;

  /** Logs of a sandbox whose client names no directory; nobody else removes it. */
  ownLogDirectory(id: SandboxId): string;

  /** `<root>/containers`: what containers wrote. */
  readonly rootfsesDir: string;
  /** The storage driver's directory of a container: rootfs and what the driver needs beside it. */
  storageDir(id: ContainerId): string;
  /** Where the container's root file system is mounted. */
  rootfs(id: ContainerId): string;
  /** Where an image is mounted that the container has as a volume. */
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

/** Names that a handler's state directory may have: they become a path and an argument. */
const HANDLER = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u;

/**
 * The layout below two absolute directories. Throws `invalidRequest` when one is not absolute: a relative
 * root would follow the working directory.
 */
export function createLayout(base: { readonly root: string; readonly state: string }): Layout {
  const { root, state } = base;
  for (const path of [root, state]) {
    if (!isAbsolute(path))
      fail('invalidRequest', `use directory ${path}: it is not absolute`, { subject: path });
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

/** The handler's own name; the empty (default) one must be resolved to a name by the caller. */
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
 * A container's cgroup, relative to each hierarchy's root. Below a slice it is inside a scope that it shares with its
 * monitor, each in a leaf: systemd takes a scope away with its last process, and the container's counters of OOM kills must
 * be there until the monitor has read them.
 */
export function containerCgroup(cgroupParent: string, id: ContainerId): string {
  return isSlice(cgroupParent)
    ? join(containerScope(cgroupParent, id), 'container')
    : join(cgroupParentOf(cgroupParent), `troupe-${id}`);
}

function containerScope(cgroupParent: string, id: ContainerId): string {
  return join(cgroupParentOf(cgroupParent), `troupe-${id}.scope`);
}

/** False below a slice, where the pause process has a scope of its own and each monitor its container's. */
export function hasSandboxCgroup(cgroupParent: string): boolean {
  return !isSlice(cgroupParent);
}

/** The sandbox's own cgroup, where it has one: the pause process and the monitors live here. The parent is the kubelet's. */
export function sandboxCgroup(cgroupParent: string, id: SandboxId): string {
  return join(cgroupParentOf(cgroupParent), `troupe-sandbox-${id}`);
}

/**
 * Where a container's monitor lives: a leaf of the sandbox's cgroup or of its container's scope, since on v2 a cgroup with
 * children holds no processes.
 */
export function monitorCgroup(cgroupParent: string, sandboxId: SandboxId, id: ContainerId): string {
  if (isSlice(cgroupParent)) return join(containerScope(cgroupParent, id), 'monitor');
  return join(sandboxCgroup(cgroupParent, sandboxId), 'monitors');
}

/**
 * The pause process's cgroup, inside the sandbox's own: the runtime deletes the one it is given together with the
 * container, and newer runc refuses one that has processes in it, such as our monitors.
 */
export function pauseCgroup(cgroupParent: string, id: SandboxId): string {
  if (isSlice(cgroupParent)) return join(cgroupParentOf(cgroupParent), `troupe-pause-${id}.scope`);
  return join(sandboxCgroup(cgroupParent, id), 'pause');
}

/**
 * The parent of a pod's cgroups: the client's, or our own where it names none. Throws `invalidRequest` on `..`.
 * It is the form of the parent, recorded with each pod, that tells the driver: pods made before the configured driver
 * was changed go on as they are.
 */
export function cgroupParentOf(cgroupParent: string): string {
  if (cgroupParent === '') return DEFAULT_CGROUP_PARENT;
  if (cgroupParent.includes('\0') || cgroupParent.split('/').some((part) => part === '..' || part === '.')) {
    fail('invalidRequest', `use cgroup_parent ${cgroupParent}: it must not contain . or ..`, {
      subject: 'linux.cgroup_parent',
    });
  }
  return isSlice(cgroupParent) ? sliceCgroup(cgroupParent) : join('/', cgroupParent);
}
