/**
 * Synchronous file calls relative to a directory's descriptor, for the unpack worker, which is a thread of
 * its own and may block. A name is one component or a path below the directory. `openBeneath` has the kernel
 * keep the path below the directory; the other calls act on the last component and never follow a link in it.
 *
 * Names are text, or bytes for names that are not UTF-8 (tar allows them); bytes have no final NUL.
 */
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { codeOf, errnoName, must } from '../ffi/errno.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_PATH,
  RENAME_NOREPLACE,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  TIMESPEC_BYTES,
  makeDevice,
  openHow,
  writeTimespec,
} from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import type { SyscallResult } from '../ffi/ffi.ts';
import type { Pointer } from '../ffi/native.ts';

export type FileName = string | Uint8Array;

/**
 * Bytes of an extended attribute's value, and of the list of names: the kernel's XATTR_SIZE_MAX and
 * XATTR_LIST_MAX.
 */
const XATTR_BYTES = 65536;
/** Bytes of a link's target: PATH_MAX. */
const LINK_BYTES = 4096;

/** How links in a path are treated. `inRoot`: resolved as after a chroot. `noLinks`: refused. */
export type Resolve = 'inRoot' | 'noLinks';

const RESOLVE: Readonly<Record<Resolve, number>> = {
  inRoot: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
  noLinks: RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
};

/**
 * struct open_how for a path that must stay below its directory (S54). The descriptor is close-on-exec.
 *
 * With `noLinks` a link in the last component is ELOOP or, where a directory is wanted, ENOTDIR. Without O_NOFOLLOW the
 * kernel would first ask whether it may follow it: EACCES with fs.protected_symlinks=1 (see `dotted`).
 */
export function howBeneath(flags: number, mode: number, resolve: Resolve): Uint8Array {
  // with O_PATH the flag would open the link itself
  const more = resolve === 'noLinks' && (flags & O_PATH) === 0 ? O_NOFOLLOW : 0;
  return openHow(flags | more | O_CLOEXEC, mode, RESOLVE[resolve]);
}

/**
 * A directory's path for `inRoot`, so that its last component is no link.
 *
 * With fs.protected_symlinks=1, which systemd sets, the kernel does not follow a link in a sticky directory that
 * everybody may write, such as an image's /tmp, unless the link's owner is the caller or the directory's owner: EACCES,
 * for root too. It asks this of the last component only (WALK_TRAILING in fs/namei.c), so that a path through the link
 * is open to everybody. The rule protects programs from links that another user of the host puts before them. In a root
 * of one image or container all links are of that image or container, and none leads out of it, whoever owns it.
 */
export function dotted(path: string): string {
  return path === '' ? '.' : `${path}/.`;
}

/** The name as a C string. */
function cName(name: FileName): Pointer {
  if (typeof name === 'string') return name;
  if (name.includes(0)) fail('invalidRequest', `use file name ${show(name)}: contains a NUL byte`);
  const bytes = Buffer.alloc(name.length + 1);
  bytes.set(name);
  return bytes;
}

function show(name: FileName): string {
  return typeof name === 'string' ? name : Buffer.from(name).toString();
}

function done(outcome: SyscallResult, attempted: string, name: FileName): void {
  must(outcome, attempted, show(name));
}

/** Opens a path that the kernel keeps below the directory (openat2(2)). The caller closes the descriptor. */
export function openBeneath(
  directory: number,
  path: FileName,
  flags: number,
  mode = 0,
  resolve: Resolve = 'noLinks',
): number {
  const how = howBeneath(flags, mode, resolve);
  for (let attempt = 1; ; attempt += 1) {
    const outcome = callSync(libc.openat2, directory, cName(path), how, how.length);
    // the kernel could not verify a `..`, since something was renamed or mounted meanwhile anywhere on the
    // machine; EAGAIN means to try again
    const mayRetry =
      outcome.result === -1 && errnoName(outcome.errno) === 'EAGAIN' && attempt < hostLimits.openAttempts;
    if (!mayRetry) return must(outcome, 'open', show(path));
  }
}

/** Opens one component; pass O_NOFOLLOW when it could be a link. The caller closes the descriptor. */
export function openAt(directory: number, name: FileName, flags: number, mode = 0): number {
  return must(callSync(libc.openat, directory, cName(name), flags | O_CLOEXEC, mode), 'open', show(name));
}

/** Creates a directory; EEXIST is an error. */
export function mkdirAt(directory: number, name: FileName, mode: number): void {
  done(callSync(libc.mkdirat, directory, cName(name), mode), 'create directory', name);
}

/** Removes a name that is not a directory; false when it did not exist. */
export function unlinkAt(directory: number, name: FileName): boolean {
  return removed(callSync(libc.unlinkat, directory, cName(name), 0), 'remove', name);
}

/** Removes an empty directory; false when it did not exist. */
export function rmdirAt(directory: number, name: FileName): boolean {
  return removed(callSync(libc.unlinkat, directory, cName(name), AT_REMOVEDIR), 'remove directory', name);
}

function removed(outcome: SyscallResult, attempted: string, name: FileName): boolean {
  if (outcome.result === -1 && errnoName(outcome.errno) === 'ENOENT') return false;
  return must(outcome, attempted, show(name)) === 0;
}

/** Creates a hard link. A symbolic link as source is linked itself, not followed. */
export function linkAt(fromDirectory: number, from: FileName, directory: number, name: FileName): void {
  done(callSync(libc.linkat, fromDirectory, cName(from), directory, cName(name), 0), 'hard-link', name);
}

/** Creates a symbolic link with the text `target`, which is not checked. */
export function symlinkAt(target: FileName, directory: number, name: FileName): void {
  done(callSync(libc.symlinkat, cName(target), directory, cName(name)), 'create link', name);
}

/** The text of a symbolic link, as bytes. */
export function readlinkAt(directory: number, name: FileName): Uint8Array {
  const buffer = Buffer.alloc(LINK_BYTES);
  const length = must(
    callSync(libc.readlinkat, directory, cName(name), buffer, buffer.length),
    'read link',
    show(name),
  );
  return Uint8Array.from(buffer.subarray(0, length));
}

/** Renames; replaces an existing entry with the new name. */
export function renameAt(fromDirectory: number, from: FileName, directory: number, name: FileName): void {
  done(callSync(libc.renameat2, fromDirectory, cName(from), directory, cName(name), 0), 'rename to', name);
}

/** Renames to a free name; EEXIST is an error. */
export function renameNewAt(fromDirectory: number, from: FileName, directory: number, name: FileName): void {
  done(
    callSync(libc.renameat2, fromDirectory, cName(from), directory, cName(name), RENAME_NOREPLACE),
    'rename to',
    name,
  );
}

/** Sets owner and group; a link is changed itself, not followed. */
export function chownAt(directory: number, name: FileName, uid: number, gid: number): void {
  done(
    callSync(libc.fchownat, directory, cName(name), uid, gid, AT_SYMLINK_NOFOLLOW),
    'set the owner of',
    name,
  );
}

/** Sets the permissions; EOPNOTSUPP on a link, which has none. */
export function chmodAt(directory: number, name: FileName, mode: number): void {
  done(callSync(libc.fchmodat, directory, cName(name), mode, AT_SYMLINK_NOFOLLOW), 'set the mode of', name);
}

/** Sets access and modification time, in ns since the epoch; a link is changed itself. */
export function utimensAt(directory: number, name: FileName, accessNs: bigint, modifyNs: bigint): void {
  done(
    callSync(libc.utimensat, directory, cName(name), timespecs(accessNs, modifyNs), AT_SYMLINK_NOFOLLOW),
    'set the times of',
    name,
  );
}

/** The same for an open file. */
export function utimensFd(fd: number, accessNs: bigint, modifyNs: bigint): void {
  done(
    callSync(libc.utimensat, fd, '', timespecs(accessNs, modifyNs), AT_EMPTY_PATH),
    'set the times of descriptor',
    String(fd),
  );
}

function timespecs(accessNs: bigint, modifyNs: bigint): Uint8Array {
  const times = Buffer.alloc(TIMESPEC_BYTES * 2);
  writeTimespec(times, 0, accessNs);
  writeTimespec(times, TIMESPEC_BYTES, modifyNs);
  return times;
}

/**
 * Creates a device, FIFO or socket; `mode` has its type (S_IFCHR …) and its permissions. The umask applies.
 */
export function mknodAt(directory: number, name: FileName, mode: number, major = 0, minor = 0): void {
  done(callSync(libc.mknodat, directory, cName(name), mode, makeDevice(major, minor)), 'create device', name);
}

/** Sets an extended attribute of an open file. */
export function setXattrOfFd(fd: number, attribute: string, value: Uint8Array): void {
  done(
    callSync(libc.fsetxattr, fd, attribute, value, value.length, 0),
    `set ${attribute} of descriptor`,
    String(fd),
  );
}

/** Sets an extended attribute; a link is changed itself. `name` is one component. */
export function setXattrAt(directory: number, name: FileName, attribute: string, value: Uint8Array): void {
  const path = byDescriptor(directory, name);
  done(callSync(libc.lsetxattr, cName(path), attribute, value, value.length, 0), `set ${attribute} of`, name);
}

/**
 * The value of an extended attribute of the entry itself; undefined when it has no attribute of that name.
 */
export function getXattrAt(directory: number, name: FileName, attribute: string): Uint8Array | undefined {
  const buffer = Buffer.alloc(XATTR_BYTES);
  const got = callSync(
    libc.lgetxattr,
    cName(byDescriptor(directory, name)),
    attribute,
    buffer,
    buffer.length,
  );
  if (got.result === -1 && ['ENODATA', 'EOPNOTSUPP'].includes(errnoName(got.errno))) return undefined;
  return Uint8Array.from(buffer.subarray(0, must(got, `get ${attribute} of`, show(name))));
}

/** The names of all extended attributes of the entry itself; empty where the file system has none. */
export function listXattrsAt(directory: number, name: FileName): string[] {
  const buffer = Buffer.alloc(XATTR_BYTES);
  const got = callSync(libc.llistxattr, cName(byDescriptor(directory, name)), buffer, buffer.length);
  if (got.result === -1 && errnoName(got.errno) === 'EOPNOTSUPP') return [];
  const length = must(got, 'list the attributes of', show(name));
  return buffer
    .toString('utf8', 0, length)
    .split('\0')
    .filter((attribute) => attribute !== '');
}

/**
 * The xattr calls take no directory descriptor, so the path goes through /proc/self/fd; one component can't
 * leave the directory.
 */
function byDescriptor(directory: number, name: FileName): FileName {
  if (directory === AT_FDCWD) return name;
  const prefix = `/proc/self/fd/${directory}/`;
  if (typeof name === 'string') return `${prefix}${name}`;
  return Buffer.concat([Buffer.from(prefix), name]);
}

/** Sets owner and group of an open file, also by an O_PATH descriptor. */
export function chownFd(fd: number, uid: number, gid: number): void {
  done(callSync(libc.fchownat, fd, '', uid, gid, AT_EMPTY_PATH), 'set the owner of descriptor', String(fd));
}

/**
 * True for the errors with which the kernel refuses a path that leaves its root or passes a forbidden link.
 */
export function isEscape(error: unknown): boolean {
  return ['EXDEV', 'ELOOP'].includes(codeOf(error) ?? '');
}
