/** Checks whether something is mounted at a path, without accessing the file system that is mounted there. */
import { lstat, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf } from '../ffi/errno.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH } from '../ffi/constants.ts';

/**
 * True when `path` lies on another mount than its parent. Also detects a bind of a directory of the same file
 * system, and a FUSE mount whose program died.
 */
export async function isMountPoint(path: string): Promise<boolean> {
  try {
    const [own, above] = await Promise.all([mountIdOf(path), mountIdOf(dirname(path))]);
    return own !== above;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** The same with two calls less, for mounts that can only be another, living file system. */
export async function isOtherDevice(path: string): Promise<boolean> {
  try {
    const [above, own] = await Promise.all([lstat(dirname(path)), lstat(path)]);
    return above.dev !== own.dev;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** From proc_pid_fdinfo(5). An open with O_PATH does not access the mounted file system. */
async function mountIdOf(path: string): Promise<string> {
  const handle = await open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  try {
    return /^mnt_id:\s*(\d+)$/mu.exec(await readFile(`/proc/self/fdinfo/${handle.fd}`, 'utf8'))?.[1] ?? '';
  } finally {
    await handle.close();
  }
}
