/** Whether something is mounted at a path, told without asking the file system that is mounted there. */
import { lstat, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf } from '../ffi/errno.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH } from '../ffi/constants.ts';

/** True where the mount that `path` lies on is not the one of its parent. Also of a bind of a directory of the same file system, and of a FUSE mount whose program died. */
export async function isMountPoint(path: string): Promise<boolean> {
  try {
    const [own, above] = await Promise.all([mountIdOf(path), mountIdOf(dirname(path))]);
    return own !== above;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** The same for two calls less, where what is mounted can only be another file system that is alive. */
export async function isOtherDevice(path: string): Promise<boolean> {
  try {
    const [above, own] = await Promise.all([lstat(dirname(path)), lstat(path)]);
    return above.dev !== own.dev;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

/** proc_pid_fdinfo(5). Opening with O_PATH asks nothing of a mount's root. */
async function mountIdOf(path: string): Promise<string> {
  const handle = await open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  try {
    return /^mnt_id:\s*(\d+)$/mu.exec(await readFile(`/proc/self/fdinfo/${handle.fd}`, 'utf8'))?.[1] ?? '';
  } finally {
    await handle.close();
  }
}
