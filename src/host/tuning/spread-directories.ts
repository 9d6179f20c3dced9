/**
 * Lets ext4 spread what is below a directory's subdirectories over the disk, as it does with the subdirectories of its
 * root (chattr(1), `T`).
 *
 * Each new inode passes one by one over all numbers of its block group that were freed in the last minutes
 * (fs/ext4/ialloc.c, `recently_deleted`). A container's life makes and deletes some fifteen, eight of them overlayfs
 * itself; in one group each took 0.7 ms of processor time after a few hundred pods, and 10 µs with this (2026-11-26):
 * 9 ms of the 20 that a life spent in libuv's pool. The longest list of `npm run handover` took 238 ms over an open
 * connection and 297 over new ones, and 305 and 650 without.
 */
import { open, statfs } from 'node:fs/promises';
import { FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_TOPDIR_FL } from '../ffi/constants.ts';
import { callAsync, libc } from '../ffi/ffi.ts';

/** f_type of ext2, ext3 and ext4 in statfs(2). */
const EXT4 = 0xef53;

/**
 * For subdirectories that are made from now on; those that exist stay where they are. Does nothing on another file
 * system, or where the flag can't be set: nothing depends on it. `directory` is one of ours.
 */
export async function spreadSubdirectories(directory: string): Promise<void> {
  try {
    if ((await statfs(directory)).type !== EXT4) return;
    const handle = await open(directory, 'r');
    try {
      await addFlag(handle.fd);
    } finally {
      await handle.close();
    }
  } catch {
    // a directory that can't be opened is reported by the next call that needs it
  }
}

async function addFlag(fd: number): Promise<void> {
  // ioctl_iflags(2): an int
  const flags = Buffer.alloc(8);
  const { result } = await callAsync(libc.ioctl, fd, FS_IOC_GETFLAGS, flags);
  const known = flags.readUInt32LE(0);
  if (result === -1 || (known & FS_TOPDIR_FL) !== 0) return;
  flags.writeUInt32LE((known | FS_TOPDIR_FL) >>> 0, 0);
  await callAsync(libc.ioctl, fd, FS_IOC_SETFLAGS, flags);
}
