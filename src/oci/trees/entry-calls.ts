/**
 * The calls of host/files/files-at.ts for names that are byte strings, as in archives and directories. For worker
 * threads: all calls are synchronous. None follows a symlink in the last component.
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

/** A name for the host's functions. They encode strings as UTF-8, so names with other bytes need a buffer. */
function named(name: ByteString): at.FileName {
  return ASCII.test(name) ? name : Buffer.from(name, 'latin1');
}

/** A path for Node's functions to the entry `name` of an open directory. */
function pathAt(fd: number, name: ByteString): string | Buffer {
  const path = `/proc/self/fd/${fd}/${name}`;
  return ASCII.test(name) ? path : Buffer.from(path, 'latin1');
}

/**
 * Opens a directory below `root` as a base for other calls (O_PATH). Symlinks are resolved as for a process whose root
 * directory is `root`, so that none leads outside (openat2(2), RESOLVE_IN_ROOT; the peers resolve paths the same way).
 * All are followed, whoever owns them: see `dotted`.
 */
export function openDirectoryInRoot(root: number, path: ByteString): number {
  return at.openBeneath(root, named(at.dotted(path)), O_PATH | O_DIRECTORY, 0, 'inRoot');
}

/** Opens the directory `name` in `fd`. Fails if it is a symlink. */
export function openDirectoryAt(fd: number, name: ByteString): number {
  return at.openAt(fd, named(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

/**
 * Creates a file. Throws EEXIST if the name exists, even as a symlink.
 * @param mode the umask applies, and default ACLs of the directory do
 */
export function createFileAt(fd: number, name: ByteString, mode = 0o600): number {
  return at.openAt(fd, named(name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
}

export function mkdirAt(fd: number, name: ByteString, mode: number): void {
  at.mkdirAt(fd, named(name), mode);
}

/** Returns false if the name did not exist. Throws EISDIR for a directory. */
export function unlinkAt(fd: number, name: ByteString): boolean {
  return at.unlinkAt(fd, named(name));
}

/** Returns false if the name did not exist. */
export function rmdirAt(fd: number, name: ByteString): boolean {
  return at.rmdirAt(fd, named(name));
}

/** Creates a hard link. For a symlink, links the symlink itself. */
export function linkAt(fromFd: number, from: ByteString, toFd: number, to: ByteString): void {
  at.linkAt(fromFd, named(from), toFd, named(to));
}

export function symlinkAt(target: ByteString, fd: number, name: ByteString): void {
  at.symlinkAt(named(target), fd, named(name));
}

export function readLinkAt(fd: number, name: ByteString): ByteString {
  return Buffer.from(at.readlinkAt(fd, named(name))).toString('latin1');
}

/** Creates a device, FIFO or whiteout; `mode` includes the type. The umask applies: set the mode afterwards. */
export function mknodAt(fd: number, name: ByteString, mode: number, major: number, minor: number): void {
  at.mknodAt(fd, named(name), mode, major, minor);
}

/** Changes the owner of the entry itself, even if it is a symlink. */
export function chownAt(fd: number, name: ByteString, uid: number, gid: number): void {
  at.chownAt(fd, named(name), uid, gid);
}

/** Changes the mode of the entry itself. Throws EOPNOTSUPP for a symlink (S18). */
export function chmodAt(fd: number, name: ByteString, mode: number): void {
  at.chmodAt(fd, named(name), mode);
}

/** Sets both times of the entry itself, in nanoseconds since the epoch. */
export function setTimeAt(fd: number, name: ByteString, ns: bigint): void {
  at.utimensAt(fd, named(name), ns, ns);
}

/** Sets both times of an open file. */
export function setTimeOf(fd: number, ns: bigint): void {
  at.utimensFd(fd, ns, ns);
}

/** Sets an xattr of the entry itself. */
export function setXattrAt(fd: number, name: ByteString, xattr: ByteString, value: Buffer): void {
  at.setXattrAt(fd, named(name), textOf(xattr), value);
}

/** Sets an xattr of an open file. */
export function setXattrOf(fd: number, xattr: ByteString, value: Buffer): void {
  at.setXattrOfFd(fd, textOf(xattr), value);
}

/** The name of an xattr as text for the host's functions. By convention it is UTF-8 (attr(5)). */
function textOf(xattr: ByteString): string {
  return ASCII.test(xattr) ? xattr : Buffer.from(xattr, 'latin1').toString('utf8');
}

/** lstat of the entry; undefined if it does not exist. */
export function statAt(fd: number, name: ByteString): Stats | undefined {
  // called for every name to be created; creating an Error with its stack would cost more than the call
  return lstatSync(pathAt(fd, name), { throwIfNoEntry: false });
}

/** Whether this is a whiteout of overlayfs: character device 0:0. */
export function isWhiteout(stats: Stats): boolean {
  return (stats.mode & S_IFMT) === S_IFCHR && stats.rdev === 0;
}

/** The entries of an open directory, unsorted. */
export function listDirectory(fd: number): { readonly name: ByteString; readonly isDirectory: boolean }[] {
  return readdirSync(Buffer.from(`/proc/self/fd/${fd}`), { withFileTypes: true, encoding: 'buffer' }).map(
    (entry) => ({
      name: entry.name.toString('latin1'),
      isDirectory: entry.isDirectory(),
    }),
  );
}
