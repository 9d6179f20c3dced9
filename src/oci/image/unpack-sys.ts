/**
 * System calls on names below directory descriptors, for worker threads: all synchronous, all with names as byte
 * strings, none follows a symlink in the last component.
 */
import { lstatSync, readdirSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { fail } from '../../base/fault.ts';
import { must, codeOf } from '../../host/errno.ts';
import {
  AT_REMOVEDIR,
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_XDEV,
  openHow,
  writeTimespec,
} from '../../host/ffi-constants.ts';
import { callSync, libc } from '../../host/ffi.ts';
import type { Pointer } from '../../host/ffi.ts';
import type { ByteString } from './tar-header.ts';
import { shown } from './tar-header.ts';

const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;

// eslint-disable-next-line no-control-regex -- NUL is the one byte that must not pass
const ASCII = /^[\u0001-\u007f]*$/u;

/** A name as C takes it: koffi encodes strings as UTF-8, so that other bytes need a buffer. */
export function cString(name: ByteString): Pointer {
  if (ASCII.test(name)) return name;
  if (name.includes('\0')) fail('invalidRequest', `use the name ${shown(name)}: it holds a NUL byte`);
  return Buffer.from(`${name}\0`, 'latin1');
}

/** A path that Node's own functions take: the entry `name` of an open directory. */
export function pathAt(fd: number, name: ByteString): string | Buffer {
  const path = `/proc/self/fd/${fd}/${name}`;
  return ASCII.test(name) ? path : Buffer.from(path, 'latin1');
}

const inRoot = openHow(O_PATH | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);

/**
 * Opens a directory below `root` for use as a base (O_PATH). Symlinks on the way are followed as a process would
 * whose root directory is `root`, so that none leads outside (openat2(2), RESOLVE_IN_ROOT; the peers resolve so as well).
 */
export function openInRoot(root: number, path: ByteString): number {
  return must(callSync(libc.openat2, root, cString(path === '' ? '.' : path), inRoot, inRoot.length), 'open directory', shown(path));
}

/** Opens the entry `name` of `fd`, which must be a directory itself. */
export function openDirectoryAt(fd: number, name: ByteString): number {
  return must(callSync(libc.openat, fd, cString(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0), 'open directory', shown(name));
}

/** Makes a new file; EEXIST when the name is taken, by a symlink too. */
export function createFileAt(fd: number, name: ByteString): number {
  return must(
    callSync(libc.openat, fd, cString(name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600),
    'create file',
    shown(name),
  );
}

export function mkdirAt(fd: number, name: ByteString, mode: number): void {
  must(callSync(libc.mkdirat, fd, cString(name), mode), 'make directory', shown(name));
}

export function unlinkAt(fd: number, name: ByteString): void {
  must(callSync(libc.unlinkat, fd, cString(name), 0), 'delete', shown(name));
}

export function rmdirAt(fd: number, name: ByteString): void {
  must(callSync(libc.unlinkat, fd, cString(name), AT_REMOVEDIR), 'delete directory', shown(name));
}

export function renameAt(fromFd: number, from: ByteString, toFd: number, to: ByteString): void {
  must(callSync(libc.renameat2, fromFd, cString(from), toFd, cString(to), 0), 'rename', shown(from));
}

/** A link to the very file: to a symlink itself, never to what it points at. */
export function linkAt(fromFd: number, from: ByteString, toFd: number, to: ByteString): void {
  must(callSync(libc.linkat, fromFd, cString(from), toFd, cString(to), 0), 'hard link', shown(to));
}

export function symlinkAt(target: ByteString, fd: number, name: ByteString): void {
  must(callSync(libc.symlinkat, cString(target), fd, cString(name)), 'make symlink', shown(name));
}

const TARGET_BYTES = 4096;

export function readLinkAt(fd: number, name: ByteString): ByteString {
  const target = Buffer.allocUnsafe(TARGET_BYTES);
  const length = must(callSync(libc.readlinkat, fd, cString(name), target, TARGET_BYTES), 'read symlink', shown(name));
  return target.toString('latin1', 0, length);
}

/** Makes a device, FIFO or whiteout; `mode` holds the type. The umask applies: set the mode afterwards. */
export function mknodAt(fd: number, name: ByteString, mode: number, device: bigint): void {
  must(callSync(libc.mknodat, fd, cString(name), mode, device), 'make node', shown(name));
}

/** Of the entry itself, symlink or not. */
export function chownAt(fd: number, name: ByteString, uid: number, gid: number): void {
  must(callSync(libc.fchownat, fd, cString(name), uid, gid, AT_SYMLINK_NOFOLLOW), 'change owner of', shown(name));
}

/** Of the entry itself; EOPNOTSUPP on symlinks (S18). */
export function chmodAt(fd: number, name: ByteString, mode: number): void {
  must(callSync(libc.fchmodat, fd, cString(name), mode, AT_SYMLINK_NOFOLLOW), 'change mode of', shown(name));
}

const times = Buffer.alloc(32);

/** Both times of the entry itself, nanoseconds since the epoch. */
export function setTimeAt(fd: number, name: ByteString, ns: bigint): void {
  writeTimespec(times, 0, ns);
  writeTimespec(times, 16, ns);
  must(callSync(libc.utimensat, fd, cString(name), times, AT_SYMLINK_NOFOLLOW), 'set times of', shown(name));
}

/** Of the entry itself, through the descriptor of its directory. */
export function setXattrAt(fd: number, name: ByteString, xattr: ByteString, value: Buffer): void {
  const path = pathAt(fd, name);
  const pointer = typeof path === 'string' ? path : Buffer.concat([path, Buffer.alloc(1)]);
  must(callSync(libc.lsetxattr, pointer, cString(xattr), value, value.length, 0), `set xattr ${shown(xattr)} of`, shown(name));
}

/** lstat of the entry; undefined when there is none. */
export function statAt(fd: number, name: ByteString): Stats | undefined {
  try {
    return lstatSync(pathAt(fd, name));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** What overlayfs takes as a whiteout: character device 0:0. */
export function isWhiteout(stats: Stats): boolean {
  return (stats.mode & S_IFMT) === S_IFCHR && stats.rdev === 0;
}

/** Entries of an open directory, unsorted. */
export function listDirectory(fd: number): { readonly name: ByteString; readonly isDirectory: boolean }[] {
  return readdirSync(Buffer.from(`/proc/self/fd/${fd}`), { withFileTypes: true, encoding: 'buffer' }).map((entry) => ({
    name: entry.name.toString('latin1'),
    isDirectory: entry.isDirectory(),
  }));
}
