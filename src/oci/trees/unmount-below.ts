/** Mounts on what is to be deleted. */
import { readMountInfo } from '../../host/mounts/mountinfo.ts';
import { unmount } from '../../host/mounts/mounts.ts';

/**
 * Takes off all mounts below a directory, also those of programs that died. A directory that is renamed takes the mounts in
 * it along, and with one in it a tree is never deleted. `directory`: a real path, as the kernel tells mount points.
 */
export async function unmountBelow(directory: string): Promise<void> {
  const below = (await readMountInfo()).filter(({ mountPoint }) => mountPoint.startsWith(`${directory}/`));
  // what was mounted last lies on top, or deeper
  for (const { mountPoint } of below.toReversed()) await unmount(mountPoint, { lazy: true });
}
