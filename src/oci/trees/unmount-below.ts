/** Unmounts everything below a directory that is to be deleted. */
import { readMountInfo } from '../../host/mounts/mountinfo.ts';
import { unmount } from '../../host/mounts/mounts.ts';

/**
 * Unmounts all mounts below a directory, including those of programs that have died. A rename moves the mounts in a
 * directory along, and a tree with a mount cannot be deleted. `directory`: a path without symlinks, as in the kernel's
 * mountinfo.
 */
export async function unmountBelow(directory: string): Promise<void> {
  const below = (await readMountInfo()).filter(({ mountPoint }) => mountPoint.startsWith(`${directory}/`));
  // later mounts are on top of earlier ones, or below them in the tree
  for (const { mountPoint } of below.toReversed()) await unmount(mountPoint, { lazy: true });
}
