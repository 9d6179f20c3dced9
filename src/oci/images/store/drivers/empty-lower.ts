/** The lower directory for images without layers: overlayfs needs at least one (S56). */
import { chmod, mkdir } from 'node:fs/promises';
import type { RootfsPaths } from '../records/layer-layout.ts';
import { ROOT_MODE } from './modes.ts';

/**
 * Creates the container's empty directory. Only called if needed: images without layers are rare, and a directory for
 * each container would cost six calls through the pool and an inode, which ext4 finds more slowly the more inodes were
 * freed within the last minute.
 */
export async function emptyLower({ empty }: RootfsPaths): Promise<string> {
  await mkdir(empty, { recursive: true });
  await chmod(empty, ROOT_MODE);
  return empty;
}
