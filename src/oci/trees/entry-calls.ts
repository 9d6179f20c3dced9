/**
 * host/files/files-at.ts for names out of archives and directories as byte strings, for worker threads: all synchronous, and
 * nothing follows a symlink in the last component.
 */
import { lstatSync, readdirSync } from 'node:fs';
import type { Stats } from 'node:fs';
import {
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
} from '../../host/ffi/constants.ts';
import * as at from '../../host/files/files-at.ts';
import type { ByteString } from '../../base/byte-string.ts';

const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;

// eslint-disable-next-line no-control-regex -- the range is what ASCII is
const ASCII = /^[\u0000-\u007f]*$/u;

/** A name as the host's functions take it: strings are encoded as UTF-8 there, so that other bytes need a buffer. */
function named(name: ByteString): at.FileName {
  return ASCII.test(name) ? name : Buffer.from(name, 'latin1');
}

/** A path that Node's own functions take: the entry `name` of an open directory. */
function pathAt(fd: number, name: ByteString): string | Buffer {
  const path = `/proc/self/fd/${fd}/${name}`;
  return ASCII.test(name) ? path : Buffer.from(path, 'latin1');
}

/**
 * Opens a directory below `root` for use as a base (O_PATH). Symlinks on the way are followed as a process would
 * whose root directory is `root`, so that none leads outside (openat2(2), RESOLVE_IN_ROOT; the peers resolve so as well).
 */
export function openInRoot(root: number, path: ByteString): number {
  return at.openBeneath(root, named(path === '' ? '.' : path), O_PATH | O_DIRECTORY, 0, 'inRoot');
}

/** Opens the entry `name` of `fd`, which must be a directory itself. */
export function openDirectoryAt(fd: number, name: ByteString): number {
  return at.openAt(fd, named(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

/** Makes a new file; EEXIST when the name is taken, by a symlink too. */
export function createFileAt(fd: number, name: ByteString): number {
  return at.openAt(fd, named(name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
}

export function mkdirAt(fd: number, name: ByteString, mode: number): void {
  at.mkdirAt(fd, named(name), mode);
}

/** False when there was none; throws EISDIR on a directory. */
export function unlinkAt(fd: number, name: ByteString): boolean {
  return at.unlinkAt(fd, named(name));
}

/** False when there was none. */
export function rmdirAt(fd: number, name: ByteString): boolean {
  return at.rmdirAt(fd, named(name));
}

export function renameAt(fromFd: number, from: ByteString, toFd: number, to: ByteString): void {
  at.renameAt(fromFd, named(from), toFd, named(to));
}

/** A link to the very file: to a symlink itself, never to what it points at. */
export function linkAt(fromFd: number, from: ByteString, toFd: number, to: ByteString): void {
  at.linkAt(fromFd, named(from), toFd, named(to));
}

export function symlinkAt(target: ByteString, fd: number, name: ByteString): void {
  at.symlinkAt(named(target), fd, named(name));
}

export function readLinkAt(fd: number, name: ByteString): ByteString {
  return Buffer.from(at.readlinkAt(fd, named(name))).toString('latin1');
}

/** Makes a device, FIFO or whiteout; `mode` holds the type. The umask applies: set the mode afterwards. */
export function mknodAt(fd: number, name: ByteString, mode: number, major: number, minor: number): void {
  at.mknodAt(fd, named(name), mode, major, minor);
}

/** Of the entry itself, symlink or not. */
export function chownAt(fd: number, name: ByteString, uid: number, gid: number): void {
  at.chownAt(fd, named(name), uid, gid);
}

/** Of the entry itself; EOPNOTSUPP on symlinks (S18). */
export function chmodAt(fd: number, name: ByteString, mode: number): void {
  at.chmodAt(fd, named(name), mode);
}

/** Both times of the entry itself, nanoseconds since the epoch. */
export function setTimeAt(fd: number, name: ByteString, ns: bigint): void {
  at.utimensAt(fd, named(name), ns, ns);
}

/** Both times of an open file. */
export function setTimeOf(fd: number, ns: bigint): void {
  at.utimensFd(fd, ns, ns);
}

/** Of the entry itself. */
export function setXattrAt(fd: number, name: ByteString, xattr: ByteString, value: Buffer): void {
  at.setXattrAt(fd, named(name), textOf(xattr), value);
}

/** Of an open file. */
export function setXattrOf(fd: number, xattr: ByteString, value: Buffer): void {
  at.setXattrOfFd(fd, textOf(xattr), value);
}

/** Names of xattrs are UTF-8 by custom (attr(5)); the host's functions take them as text. */
function textOf(xattr: ByteString): string {
  return ASCII.test(xattr) ? xattr : Buffer.from(xattr, 'latin1').toString('utf8');
}

/** lstat of the entry; undefined when there is none. */
export function statAt(fd: number, name: ByteString): Stats | undefined {
  // asked of every name that is to be made: an error with its stack costs more than the call
  return lstatSync(pathAt(fd, name), { throwIfNoEntry: false });
}

/** What overlayfs takes as a whiteout: character device 0:0. */
export function isWhiteout(stats: Stats): boolean {
  return (stats.mode & S_IFMT) === S_IFCHR && stats.rdev === 0;
}

/** Entries of an open directory, unsorted. */
export function listDirectory(fd: number): { readonly name: ByteString; readonly isDirectory: boolean }[] {
  return readdirSync(Buffer.from(`/proc/self/fd/${fd}`), { withFileTypes: true, encoding: 'buffer' }).map(
    (entry) => ({
      name: entry.name.toString('latin1'),
      isDirectory: entry.isDirectory(),
    }),
  );
}
