/** The lock that keeps a second daemon from using a directory (F83), and the usage of a file system. */
import { close } from 'node:fs';
import { open, readFile, stat, statfs } from 'node:fs/promises';
import { promisify } from 'node:util';
import { fail } from '../../base/fault.ts';
import { errnoName, missingAs, must } from '../ffi/errno.ts';
import {
  AT_FDCWD,
  deviceNumbers,
  LOCK_EX,
  LOCK_NB,
  makeDevice,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
} from '../ffi/constants.ts';
import { libc } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';

const closeLater = promisify(close);

export interface DirectoryLock {
  release(): Promise<void>;
}

/**
 * Locks a directory for as long as this process runs. The kernel releases the lock with the process, so no
 * lock can be stale. Throws `conflict` with the holder's pid when another process holds it.
 */
export async function lockDirectory(path: string): Promise<DirectoryLock> {
  const opened = await callInPool(path, libc.openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  const fd = must(opened, 'lock', path);
  const locked = await callInPool(path, libc.flock, fd, LOCK_EX | LOCK_NB);
  if (locked.result === 0) return { release: () => closeLater(fd) };
  await closeLater(fd);
  if (errnoName(locked.errno) !== 'EAGAIN') must(locked, 'lock', path);
  const pid = await lockHolder(path);
  return fail(
    'conflict',
    `lock ${path}: held by ${pid === undefined ? 'another process' : `process ${pid}`}`,
    { subject: path },
  );
}

/**
 * The lock of `root`, which is held, with that of `state` (F83); the first is released where the second can't be had. A
 * directory that both paths lead to is locked once: a lock belongs to the open file (flock(2)), and a second one of
 * ours would wait for the first.
 */
export async function withStateLocked(
  rootLock: DirectoryLock,
  { root, state }: { readonly root: string; readonly state: string },
  lock: (path: string) => Promise<DirectoryLock>,
): Promise<DirectoryLock> {
  try {
    if (await missingAs(leadToOne(root, state), false)) return rootLock;
    const stateLock = await lock(state);
    return {
      release: async () => {
        await stateLock.release();
        await rootLock.release();
      },
    };
  } catch (thrown) {
    await rootLock.release();
    throw thrown;
  }
}

async function leadToOne(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([one, other].map((path) => stat(path, { bigint: true })));
  return first?.dev === second?.dev && first?.ino === second?.ino;
}

/** The pid of the process that holds the lock; undefined when nobody does, or the kernel does not say. */
export async function lockHolder(path: string): Promise<number | undefined> {
  const { dev, ino } = await stat(path, { bigint: true });
  const text = await readFile('/proc/locks', 'latin1');
  const holder = parseLocks(text, dev, ino);
  // btrfs gives stat(2) a device of each subvolume, and the kernel's lists have that of the file system
  if (holder !== undefined || !text.includes(`:${ino} `)) return holder;
  const device = await deviceOfMount(path);
  return device === undefined ? undefined : parseLocks(text, device, ino);
}

/**
 * Device of the file system that is mounted over a path, by the kernel's list of mounts. host/mounts reads the same
 * files for questions of its own, and may not be asked from here.
 */
async function deviceOfMount(path: string): Promise<bigint | undefined> {
  const directory = await open(path, O_RDONLY | O_DIRECTORY);
  try {
    // proc_pid_fdinfo(5), proc_pid_mountinfo(5)
    const [, id] =
      /^mnt_id:\s*(\d+)$/mu.exec(await readFile(`/proc/self/fdinfo/${directory.fd}`, 'latin1')) ?? [];
    const mounts = (await readFile('/proc/self/mountinfo', 'latin1')).split('\n');
    const device = mounts.find((line) => line.startsWith(`${id} `))?.split(' ')[2];
    const [major, minor] = device?.split(':').map(Number) ?? [];
    return major === undefined || minor === undefined ? undefined : makeDevice(major, minor);
  } finally {
    await directory.close();
  }
}

/** The pid that holds an flock on the inode, from /proc/locks (proc_locks(5)); undefined when nobody does. */
export function parseLocks(text: string, device: bigint, inode: bigint): number | undefined {
  const { major, minor } = deviceNumbers(device);
  const wanted = `${major.toString(16).padStart(2, '0')}:${minor.toString(16).padStart(2, '0')}:${inode}`;
  for (const line of text.split('\n')) {
    const [, kind, , , pid, file] = line.trim().split(/\s+/u);
    if (kind === 'FLOCK' && file === wanted) return Number(pid);
  }
  return undefined;
}

export interface FilesystemSpace {
  readonly capacityBytes: bigint;
  readonly usedBytes: bigint;
  /** Bytes that an unprivileged user may still write. */
  readonly availableBytes: bigint;
  /** 0 where the file system has no fixed number of inodes (btrfs). */
  readonly inodes: bigint;
  readonly inodesUsed: bigint;
}

/** Usage of the file system at `path`. */
export async function filesystemSpace(path: string): Promise<FilesystemSpace> {
  const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(path, { bigint: true });
  return {
    capacityBytes: blocks * bsize,
    usedBytes: (blocks - bfree) * bsize,
    availableBytes: bavail * bsize,
    inodes: files,
    inodesUsed: files - ffree,
  };
}

/** The type of the file system at `path`: its magic number in statfs(2). */
export async function filesystemType(path: string): Promise<number> {
  return (await statfs(path)).type;
}
