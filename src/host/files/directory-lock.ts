/** The lock that keeps a second daemon away from a directory (F83), and how full a file system is. */
import { close } from 'node:fs';
import { readFile, stat, statfs } from 'node:fs/promises';
import { promisify } from 'node:util';
import { fail } from '../../base/fault.ts';
import { errnoName, must } from '../ffi/errno.ts';
import { AT_FDCWD, LOCK_EX, LOCK_NB, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../ffi/constants.ts';
import { libc } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';

const closeLater = promisify(close);

export interface DirectoryLock {
  release(): Promise<void>;
}

/**
 * Locks a directory for this process's life. The kernel drops the lock with the process, so there is no stale one to
 * judge. Throws `conflict` that names the holder's pid when it is taken.
 */
export async function lockDirectory(path: string): Promise<DirectoryLock> {
  const opened = await callInPool(path, libc.openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  const fd = must(opened, 'lock', path);
  const locked = await callInPool(path, libc.flock, fd, LOCK_EX | LOCK_NB);
  if (locked.result === 0) return { release: () => closeLater(fd) };
  await closeLater(fd);
  if (errnoName(locked.errno) !== 'EAGAIN') must(locked, 'lock', path);
  const pid = await holderOf(path);
  return fail(
    'conflict',
    `lock ${path}: ${pid === undefined ? 'another process' : `process ${pid}`} holds it`,
    { subject: path },
  );
}

async function holderOf(path: string): Promise<number | undefined> {
  const { dev, ino } = await stat(path, { bigint: true });
  return parseLocks(await readFile('/proc/locks', 'latin1'), dev, ino);
}

/** The pid that holds an flock on the inode, from /proc/locks (proc_locks(5)); undefined when there is none. */
export function parseLocks(text: string, device: bigint, inode: bigint): number | undefined {
  // gnu_dev_major and gnu_dev_minor
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  const wanted = `${major.toString(16).padStart(2, '0')}:${minor.toString(16).padStart(2, '0')}:${inode}`;
  for (const line of text.split('\n')) {
    const [, kind, , , pid, file] = line.trim().split(/\s+/u);
    if (kind === 'FLOCK' && file === wanted) return Number(pid);
  }
  return undefined;
}

export interface FilesystemUsage {
  readonly capacityBytes: bigint;
  readonly usedBytes: bigint;
  /** What a user without privileges may still write. */
  readonly availableBytes: bigint;
  /** 0 where the file system has no fixed number (btrfs). */
  readonly inodes: bigint;
  readonly inodesUsed: bigint;
}

/** How full the file system at `path` is. */
export async function filesystemUsage(path: string): Promise<FilesystemUsage> {
  const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(path, { bigint: true });
  return {
    capacityBytes: blocks * bsize,
    usedBytes: (blocks - bfree) * bsize,
    availableBytes: bavail * bsize,
    inodes: files,
    inodesUsed: files - ffree,
  };
}

/** The kernel's number for the type of the file system at `path` (statfs(2)). */
export async function filesystemType(path: string): Promise<number> {
  return (await statfs(path)).type;
}
