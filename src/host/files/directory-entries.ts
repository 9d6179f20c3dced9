/**
 * Entries of open directories in bounded batches, and what statx(2) says of one: synchronous, for worker threads that walk
 * trees of any size. Names are byte strings (one character for each byte), since a container may use any bytes.
 */
import { codeOf, errnoName, KernelError, must } from '../ffi/errno.ts';
import {
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
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

/** struct linux_dirent64: d_ino, d_off (8 bytes each), d_reclen (2), d_type (1), then the name and a NUL (getdents(2)). */
const OFFSET_AT = 8;
const LENGTH_AT = 16;
const TYPE_AT = 18;
const NAME_AT = 19;
const DT_UNKNOWN = 0;
const DT_DIR = 4;

/** Bytes of entries that are read at once: some 130 of the longest names, 1000 of usual ones. */
const BATCH_BYTES = 32 * 1024;

const SEEK_SET = 0;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
/** st_blocks counts in these, whatever the file system's block size (stat(2)). */
const BLOCK_BYTES = 512;
const HIGH = 0x1_0000_0000;

export interface BatchEntry {
  /** Bytes as characters. */
  readonly name: string;
  /** Undefined where the file system does not say. */
  readonly isDirectory: boolean | undefined;
  /** Where reading goes on after this entry, for `seekDirectory`. */
  readonly next: bigint;
}

/** What no other entry has, not even one that was given the inode of a deleted one. */
export interface Identity {
  readonly device: number;
  /** Exact up to 2^53, which no file system's own numbers reach. */
  readonly inode: number;
  /** ns since the epoch, to 256 of them; nobody can set it. 0 where the file system does not say. */
  readonly born: number;
}

export interface EntryStats extends Identity {
  readonly isDirectory: boolean;
  readonly isRegular: boolean;
  readonly links: number;
  /** Bytes on disk. */
  readonly usedBytes: number;
  /** Immutable or append-only (chattr(1)): not even root may delete it. */
  readonly isProtected: boolean;
  /** Something is mounted on it; `EntryStats` are those of that. */
  readonly isMountRoot: boolean;
}

// one thread runs one call at a time, and what is read is copied out at once
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

/** A byte string as C takes it. */
function cName(name: string): Uint8Array {
  return Buffer.from(`${name}\0`, 'latin1');
}

function show(name: string): string {
  return JSON.stringify(Buffer.from(name, 'latin1').toString('utf8'));
}

/** The next entries of an open directory, `.` and `..` left out; `isEnd` once there are no more. */
export function readBatch(fd: number): { readonly entries: readonly BatchEntry[]; readonly isEnd: boolean } {
  const length = must(
    callSync(libc.getdents64, fd, batch, batch.length),
    'read directory',
    `descriptor ${fd}`,
  );
  const entries: BatchEntry[] = [];
  for (let at = 0; at < length; at += batch.readUInt16LE(at + LENGTH_AT)) {
    const name = batch.toString('latin1', at + NAME_AT, batch.indexOf(0, at + NAME_AT));
    if (name === '.' || name === '..') continue;
    const type = batch[at + TYPE_AT];
    entries.push({
      name,
      isDirectory: type === DT_UNKNOWN ? undefined : type === DT_DIR,
      next: batch.readBigInt64LE(at + OFFSET_AT),
    });
  }
  return { entries, isEnd: length === 0 };
}

/** Reading goes on after the entry with this `next`; 0 begins anew. */
export function seekDirectory(fd: number, next: bigint): void {
  const outcome = callSync(libc.lseek, fd, next, SEEK_SET);
  // positions of ext4 are hashes, which as a result may look like anything but -1
  must(outcome, 'seek in directory', `descriptor ${fd}`);
}

/** Opens the directory `name` of `fd` to be read: no link, and nothing that is mounted there (EXDEV). */
export function openSubdirectory(fd: number, name: string): number {
  return must(
    callSync(libc.openat2, fd, cName(name), howBelow, howBelow.length),
    'open directory',
    show(name),
  );
}

/** Opens the directory that an open one is in, not what is mounted there (EXDEV). Whether it is the one that was left, the caller compares. */
export function openParent(fd: number): number {
  return must(callSync(libc.openat2, fd, '..', howParent, howParent.length), 'open directory', '..');
}

/** Of the entry itself, a link is not followed; of the open directory, or the one it is in, where the name is `.` or `..`. Undefined when there is none. */
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
  must(outcome, 'look at', show(name));
  // struct statx: the same on every architecture
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

/** The same question about a path, in libuv's pool: whether something is mounted there, of whatever file system. */
export async function isMountRoot(path: Uint8Array): Promise<boolean> {
  const own = Buffer.alloc(STATX_BYTES);
  const name = Buffer.concat([path, Buffer.alloc(1)]);
  must(
    await callAsync(
      libc.statx,
      AT_FDCWD,
      name,
      AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
      STATX_BASIC_STATS,
      own,
    ),
    'look at',
    Buffer.from(path).toString(),
  );
  return (own.readUInt32LE(8) & STATX_ATTR_MOUNT_ROOT) !== 0;
}

/** Takes the flags off that forbid to delete or rename (chattr(1), `i` and `a`). Of regular files and directories. */
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
      'immutable or append-only, and CAP_LINUX_IMMUTABLE is missing',
    );
}

/** Whether a directory could not be opened since something is mounted on it. */
export function isMountedOn(thrown: unknown): boolean {
  return codeOf(thrown) === 'EXDEV';
}
