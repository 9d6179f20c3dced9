/**
 * Mounts, made with the new mount API (fsopen, open_tree, move_mount): options are passed one by one instead
 * of in one page of 4096 bytes, a mount appears in one step with all its attributes, and errors have the file
 * system's own message. Calls that may wait for a dead disk or server run in the pool.
 */
import { close, closeSync, readSync } from 'node:fs';
import { promisify } from 'node:util';
import { fail } from '../../base/fault.ts';
import { KernelError, errnoName, must } from '../ffi/errno.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_RECURSIVE,
  FSCONFIG_CMD_CREATE,
  FSCONFIG_SET_FLAG,
  FSCONFIG_SET_STRING,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  MNT_DETACH,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
  MOVE_MOUNT_F_EMPTY_PATH,
  MS_PRIVATE,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
  O_CLOEXEC,
  OPEN_TREE_CLONE,
  UMOUNT_NOFOLLOW,
  mountAttr,
} from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { callInPool, inPool } from '../ffi/pool.ts';

/**
 * All mount calls share one key, so that a dead disk blocks only some threads of the pool and spawning goes
 * on.
 */
export const MOUNT_KEY = 'mounts';

type MountCall = typeof callInPool;

const callAtOnce: MountCall = (_key, fn, ...args) => Promise.resolve(callSync(fn, ...args));

export interface MountFlags {
  readonly readOnly?: boolean;
  readonly nosuid?: boolean;
  readonly nodev?: boolean;
  readonly noexec?: boolean;
}

export type Propagation = 'private' | 'slave' | 'shared' | 'unbindable';

const PROPAGATION: Readonly<Record<Propagation, number>> = {
  private: MS_PRIVATE,
  slave: MS_SLAVE,
  shared: MS_SHARED,
  unbindable: MS_UNBINDABLE,
};

function attributesOf(flags: MountFlags): number {
  return (
    (flags.readOnly === true ? MOUNT_ATTR_RDONLY : 0) |
    (flags.nosuid === true ? MOUNT_ATTR_NOSUID : 0) |
    (flags.nodev === true ? MOUNT_ATTR_NODEV : 0) |
    (flags.noexec === true ? MOUNT_ATTR_NOEXEC : 0)
  );
}

export interface FilesystemRequest extends MountFlags {
  readonly type: string;
  readonly target: string;
  /** The source that mountinfo shows. */
  readonly source: string;
  /** In order; true stands for a flag. The kernel refuses values longer than 255 bytes. */
  readonly options?: readonly (readonly [key: string, value: string | true])[];
  /** Neither the file system nor the target can wait for a device: mounted without the thread pool. */
  readonly isInMemory?: boolean;
}

/** Mounts a new file system on an existing directory. Throws a KernelError with the file system's message. */
export async function mountFilesystem(request: FilesystemRequest): Promise<void> {
  const { type, target } = request;
  const attempted = `mount ${type} on`;
  // nothing of it can wait for a device, and four ways through the pool take longer than the mount
  const call = request.isInMemory === true ? callAtOnce : callInPool;
  const context = must(await call(MOUNT_KEY, libc.fsopen, type, FSOPEN_CLOEXEC), attempted, target);
  try {
    const options: readonly (readonly [string, string | true])[] = [
      ['source', request.source],
      ...(request.options ?? []),
    ];
    for (const [key, value] of options) await configure(context, key, value, attempted, target);
    const created = await call(MOUNT_KEY, libc.fsconfig, context, FSCONFIG_CMD_CREATE, null, null, 0);
    if (created.result === -1)
      throw new KernelError(`${attempted} ${target}`, created.errno, target, messages(context));
    // takes the superblock that the context holds: no path is resolved, and no file system asked
    const made = callSync(libc.fsmount, context, FSMOUNT_CLOEXEC, attributesOf(request));
    await attachMount(must(made, attempted, target), attempted, target, call);
  } finally {
    closeSync(context);
  }
}

async function configure(
  context: number,
  key: string,
  value: string | true,
  attempted: string,
  target: string,
): Promise<void> {
  const command = value === true ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
  const argument = value === true ? null : value;
  const isPath = typeof value === 'string' && value.startsWith('/');
  const set = isPath
    ? await callInPool(MOUNT_KEY, libc.fsconfig, context, command, key, argument, 0)
    : // other values are only stored in the context: no path is resolved, so nothing can block
      callSync(libc.fsconfig, context, command, key, argument, 0);
  if (set.result === 0) return;
  throw new KernelError(`${attempted} ${target}: option ${key}`, set.errno, target, messages(context));
}

const closeLater = promisify(close);

/**
 * Closes a detached mount's descriptor, which removes it. In the pool: the kernel waits for its lock of mounts, before
 * 6.15 also where the mount is attached by now (dissolve_on_fput, fs/namespace.c).
 */
export function dropTree(tree: number): Promise<void> {
  return inPool(MOUNT_KEY, () => closeLater(tree));
}

/** Moves a detached mount to its target and closes its descriptor. */
export async function attachMount(
  mount: number,
  attempted: string,
  target: string,
  call: MountCall = callInPool,
): Promise<void> {
  try {
    const moved = await call(MOUNT_KEY, libc.moveMount, mount, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
    must(moved, attempted, target);
  } finally {
    // a call at once has waited for that lock itself
    if (call === callInPool) await dropTree(mount);
    else closeSync(mount);
  }
}

/** The file system's messages, such as `e overlay: …`, read from the context until it has no more. */
function messages(context: number): string {
  const lines: string[] = [];
  const line = Buffer.alloc(1024);
  // the kernel keeps at most 8 (struct fc_log)
  for (let index = 0; index < 8; index += 1) {
    try {
      lines.push(line.toString('utf8', 0, readSync(context, line)).trim());
    } catch {
      // ENODATA: no more
      break;
    }
  }
  return lines.join(', ');
}

export interface TmpfsRequest extends MountFlags, Pick<FilesystemRequest, 'isInMemory'> {
  readonly target: string;
  readonly source: string;
  readonly sizeBytes: number | bigint;
  /**
   * Files, directories and links, including the root. Absent: the kernel's default, half of the machine's
   * pages.
   */
  readonly inodes?: number;
  /** Permissions of its root directory, such as 0o1777. */
  readonly mode: number;
  /** Owner of its root directory; root when absent. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  /** SELinux label of all files; absent for the policy's. */
  readonly label?: string | undefined;
}

/** Mounts a tmpfs with a size limit; without one it could take half of the machine's memory. */
export async function mountTmpfs(request: TmpfsRequest): Promise<void> {
  const options = [
    ['size', request.sizeBytes.toString()],
    ...(request.inodes === undefined ? [] : ([['nr_inodes', String(request.inodes)]] as const)),
    ['mode', request.mode.toString(8)],
    ...(request.owner === undefined
      ? []
      : ([
          ['uid', String(request.owner.uid)],
          ['gid', String(request.owner.gid)],
        ] as const)),
    ...(request.label === undefined ? [] : ([['context', request.label]] as const)),
  ] as const;
  await mountFilesystem({ ...request, type: 'tmpfs', options });
}

export interface BindRequest extends MountFlags {
  readonly source: string;
  /** Exists already and is of the same kind (directory or file) as the source. */
  readonly target: string;
  /** Includes the mounts below the source; the flags then apply to all of them. */
  readonly recursive?: boolean;
}

/**
 * Bind-mounts a file or directory. A read-only bind is never writable for a moment, as it would be with bind
 * and remount.
 */
export async function mountBind(request: BindRequest): Promise<void> {
  const { source, target } = request;
  const attempted = `bind ${source} on`;
  const recursive = request.recursive === true ? AT_RECURSIVE : 0;
  const opened = await callInPool(
    MOUNT_KEY,
    libc.openTree,
    AT_FDCWD,
    source,
    OPEN_TREE_CLONE | O_CLOEXEC | recursive,
  );
  const tree = must(opened, attempted, target);
  const set = attributesOf(request);
  if (set !== 0) {
    try {
      await setAttributes(tree, '', AT_EMPTY_PATH | recursive, mountAttr(set, 0, 0), attempted, target);
    } catch (error) {
      await dropTree(tree);
      throw error;
    }
  }
  await attachMount(tree, attempted, target);
}

/** Makes the mount at `target` read-only; with `recursive`, those below it too. */
export async function remountReadOnly(target: string, options: { recursive?: boolean } = {}): Promise<void> {
  const recursive = options.recursive === true ? AT_RECURSIVE : 0;
  await setAttributes(
    AT_FDCWD,
    target,
    recursive,
    mountAttr(MOUNT_ATTR_RDONLY, 0, 0),
    'remount read-only',
    target,
  );
}

/**
 * Sets the propagation of the mount at `target`; with `recursive`, of those below it too
 * (mount_namespaces(7)).
 */
export async function setPropagation(
  target: string,
  propagation: Propagation,
  options: { recursive?: boolean } = {},
): Promise<void> {
  const recursive = options.recursive === true ? AT_RECURSIVE : 0;
  const attributes = mountAttr(0, 0, PROPAGATION[propagation]);
  await setAttributes(AT_FDCWD, target, recursive, attributes, `set propagation ${propagation} on`, target);
}

/** mount_setattr(2) on `path` below `fd`, or on `fd` itself with AT_EMPTY_PATH. */
export async function setAttributes(
  fd: number,
  path: string,
  flags: number,
  attributes: Uint8Array,
  attempted: string,
  target: string,
): Promise<void> {
  must(
    await callInPool(MOUNT_KEY, libc.mountSetattr, fd, path, flags, attributes, attributes.length),
    attempted,
    target,
  );
}

/**
 * Unmounts the topmost mount at `path`. False when nothing is mounted there, so it is repeatable. EBUSY is
 * thrown as a KernelError with that code, and the caller decides what to do (F49). `lazy` detaches a mount
 * that is in use: its file system stays alive, invisible, until its last user is gone.
 */
export async function unmount(path: string, options: { lazy?: boolean } = {}): Promise<boolean> {
  if (!path.startsWith('/')) fail('bug', `unmount ${path}: not an absolute path`, { subject: path });
  // never follows a link as the last component: it could lead to another mount
  const flags = UMOUNT_NOFOLLOW | (options.lazy === true ? MNT_DETACH : 0);
  const outcome = await callInPool(MOUNT_KEY, libc.umount, path, flags);
  if (outcome.result === 0) return true;
  // EINVAL: not a mount point
  if (['EINVAL', 'ENOENT', 'ENOTDIR'].includes(errnoName(outcome.errno))) return false;
  return must(outcome, 'unmount', path) === 0;
}
