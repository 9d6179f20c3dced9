/**
 * Reads entries of open directories in bounded batches, and their statx(2) data. Synchronous, for worker
 * threads that walk trees of any size; what ends in `Later` runs in libuv's pool instead. Names are byte
 * strings (one character for each byte), since a container may use any bytes.
 */
import { codeOf, errnoName, KernelError, must } from '../ffi/errno.ts';
import {
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
  AT_REMOVEDIR,
  AT_STATX_DONT_SYNC,
  AT_SYMLINK_NOFOLLOW,
  FS_APPEND_FL,
  FS_IMMUTABLE_FL,
  FS_IOC_GETFLAGS,
  FS_IOC_SETFLAGS,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  O_CLOEXEC,
  STATX_ATTR_APPEND,
  STATX_ATTR_IMMUTABLE,
  STATX_ATTR_MOUNT_ROOT,
  STATX_BASIC_STATS,
  STATX_BTIME,
  STATX_BYTES,
  openHow,
} from '../ffi/constants.ts';
import { callAsync, callSync, libc } from '../ffi/ffi.ts';

/**
 * struct linux_dirent64: d_ino, d_off (8 bytes each), d_reclen (2), d_type (1), then the name and a NUL (getdents(2)).
 */
const OFFSET_AT = 8;
const LENGTH_AT = 16;
const TYPE_AT = 18;
const NAME_AT = 19;
const DT_UNKNOWN = 0;
const DT_DIR = 4;

/** An entry with a name of NAME_MAX bytes, rounded up to 8. */
const LONGEST_ENTRY_BYTES = 280;

/** Bytes of entries that one read returns: some 130 of the longest names, 1000 of usual ones. */
const BATCH_BYTES = 32 * 1024;

const SEEK_SET = 0;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
/** Unit of st_blocks, whatever the file system's block size is (stat(2)). */
const BLOCK_BYTES = 512;
const HIGH = 0x1_0000_0000;

export interface BatchEntry {
  /** One character for each byte. */
  readonly name: string;
  /** Undefined where the file system does not report it. */
  readonly isDirectory: boolean | undefined;
  /** Position after this entry, for `seekDirectory`. */
  readonly next: bigint;
}

/** Identifies an entry even when a deleted entry's inode is reused. */
export interface Identity {
  readonly device: number;
  /** Exact up to 2^53, which no file system's own numbers reach. */
  readonly inode: number;
  /**
   * Birth time, nanoseconds since the epoch with a precision of 256; nobody can set it. 0 where the file
   * system does not report it.
   */
  readonly born: number;
}

export interface EntryStats extends Identity {
  readonly isDirectory: boolean;
  readonly isRegular: boolean;
  readonly links: number;
  /** Bytes on disk. */
  readonly usedBytes: number;
  /** Immutable or append-only (chattr(1)): even root may not delete it. */
  readonly isProtected: boolean;
  /** Something is mounted on it, and these are the mounted directory's data. */
  readonly isMountRoot: boolean;
}

// shared buffers: a thread makes one call at a time, and results are copied out at once
const batch = Buffer.alloc(BATCH_BYTES);
const stats = Buffer.alloc(STATX_BYTES);
const howBelow = openHow(
  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
  0,
  RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
);
const howParent = openHow(
  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
  0,
  RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
);

/** The byte string as a C string. */
function cName(name: string): Uint8Array {
  return Buffer.from(`${name}\0`, 'latin1');
}

function show(name: string): string {
  return JSON.stringify(Buffer.from(name, 'latin1').toString('utf8'));
}

/** The next entries of an open directory without `.` and `..`; `isEnd` once there are no more. */
export function readBatch(fd: number): { readonly entries: readonly BatchEntry[]; readonly isEnd: boolean } {
  const length = must(
    callSync(libc.getdents64, fd, batch, batch.length),
    'read directory',
    `descriptor ${fd}`,
  );
  return { entries: entriesIn(batch, length), isEnd: length === 0 };
}

/**
 * The same into a buffer of the caller's, in the pool. `isEnd` also when the kernel left room for any name, which
 * saves the call that returns nothing; whoever relies on having seen all entries must check it in another way.
 */
export async function readBatchLater(fd: number, into: Buffer): Promise<ReturnType<typeof readBatch>> {
  const done = await callAsync(libc.getdents64, fd, into, into.length);
  const length = must(done, 'read directory', `descriptor ${fd}`);
  return { entries: entriesIn(into, length), isEnd: length + LONGEST_ENTRY_BYTES <= into.length };
}

function entriesIn(bytes: Buffer, length: number): BatchEntry[] {
  const entries: BatchEntry[] = [];
  for (let at = 0; at < length; at += bytes.readUInt16LE(at + LENGTH_AT)) {
    const name = bytes.toString('latin1', at + NAME_AT, bytes.indexOf(0, at + NAME_AT));
    if (name === '.' || name === '..') continue;
    const type = bytes[at + TYPE_AT];
    entries.push({
      name,
      isDirectory: type === DT_UNKNOWN ? undefined : type === DT_DIR,
      next: bytes.readBigInt64LE(at + OFFSET_AT),
    });
  }
  return entries;
}

/** Continues after the entry with this `next`; 0 starts again. */
export function seekDirectory(fd: number, next: bigint): void {
  const outcome = callSync(libc.lseek, fd, next, SEEK_SET);
  // positions in ext4 are hashes, so any result but -1 is valid
  must(outcome, 'seek in directory', `descriptor ${fd}`);
}

/**
 * Opens the subdirectory `name` of `fd` for reading; refuses links, and a directory with a mount on it
 * (EXDEV).
 */
export function openSubdirectory(fd: number, name: string): number {
  return must(
    callSync(libc.openat2, fd, cName(name), howBelow, howBelow.length),
    'open directory',
    show(name),
  );
}

/** The same in the pool; undefined when it does not exist. */
export async function openSubdirectoryLater(fd: number, name: string): Promise<number | undefined> {
  const done = await callAsync(libc.openat2, fd, cName(name), howBelow, howBelow.length);
  if (done.result === -1 && errnoName(done.errno) === 'ENOENT') return undefined;
  return must(done, 'open directory', show(name));
}

/** How an entry was deleted, or why not. */
export type Unlinked = 'done' | 'absent' | 'isDirectory';

/**
 * Deletes a file or link of an open directory in the pool, or an empty directory. `name` may be a path; links in
 * its last component are not followed.
 */
export async function unlinkLater(fd: number, name: string, isDirectory: boolean): Promise<Unlinked> {
  const done = await callAsync(libc.unlinkat, fd, cName(name), isDirectory ? AT_REMOVEDIR : 0);
  if (done.result === 0) return 'done';
  const code = errnoName(done.errno);
  if (code === 'ENOENT') return 'absent';
  if (code === 'EISDIR') return 'isDirectory';
  throw new KernelError('delete', done.errno, show(name));
}

/**
 * Opens the parent of an open directory; refuses a mount in its place (EXDEV). The caller checks that it is
 * the directory it came from.
 */
export function openParent(fd: number): number {
  return must(callSync(libc.openat2, fd, '..', howParent, howParent.length), 'open directory', '..');
}

/**
 * The entry's own data, without following a link. For `.` and `..` those of the open directory and its
 * parent. Undefined when it does not exist.
 */
export function statEntry(fd: number, name: string): EntryStats | undefined {
  const outcome = callSync(
    libc.statx,
    fd,
    cName(name),
    AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
    STATX_BASIC_STATS | STATX_BTIME,
    stats,
  );
  if (outcome.result === -1 && errnoName(outcome.errno) === 'ENOENT') return undefined;
  must(outcome, 'stat', show(name));
  // offsets in struct statx, the same on every architecture
  const attributes = stats.readUInt32LE(8);
  const type = stats.readUInt16LE(28) & S_IFMT;
  const hasBirth = (stats.readUInt32LE(0) & STATX_BTIME) !== 0;
  return {
    isDirectory: type === S_IFDIR,
    isRegular: type === S_IFREG,
    links: stats.readUInt32LE(16),
    device: stats.readUInt32LE(136) * HIGH + stats.readUInt32LE(140),
    inode: stats.readUInt32LE(36) * HIGH + stats.readUInt32LE(32),
    born: hasBirth ? Number(stats.readBigInt64LE(80)) * 1e9 + stats.readUInt32LE(88) : 0,
    usedBytes: (stats.readUInt32LE(52) * HIGH + stats.readUInt32LE(48)) * BLOCK_BYTES,
    isProtected: (attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) !== 0,
    isMountRoot: (attributes & STATX_ATTR_MOUNT_ROOT) !== 0,
  };
}

/**
 * Whether something is mounted at a path, of any file system type, without asking its server. Runs in libuv's
 * pool; `atOnce`: for a path whose parent is in memory.
 */
export async function isMountRoot(path: Uint8Array, atOnce = false): Promise<boolean> {
  const own = Buffer.alloc(STATX_BYTES);
  const name = Buffer.concat([path, Buffer.alloc(1)]);
  const flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
  const call = [libc.statx, AT_FDCWD, name, flags, STATX_BASIC_STATS, own] as const;
  const done = atOnce ? callSync(...call) : await callAsync(...call);
  must(done, 'stat', Buffer.from(path).toString());
  return (own.readUInt32LE(8) & STATX_ATTR_MOUNT_ROOT) !== 0;
}

/**
 * Clears the flags of a regular file or directory that forbid deletion and renaming (chattr(1), `i` and `a`).
 */
export function unprotect(fd: number): void {
  const flags = Buffer.alloc(8);
  must(callSync(libc.ioctl, fd, FS_IOC_GETFLAGS, flags), 'read the flags of', `descriptor ${fd}`);
  flags.writeUInt32LE((flags.readUInt32LE(0) & ~(FS_IMMUTABLE_FL | FS_APPEND_FL)) >>> 0, 0);
  const outcome = callSync(libc.ioctl, fd, FS_IOC_SETFLAGS, flags);
  if (outcome.result === -1)
    throw new KernelError(
      'clear the flags of',
      outcome.errno,
      `descriptor ${fd}`,
      'immutable or append-only, and this process lacks CAP_LINUX_IMMUTABLE',
    );
}

/** Whether opening a directory failed because something is mounted on it. */
export function isMountedOn(thrown: unknown): boolean {
  return codeOf(thrown) === 'EXDEV';
}
