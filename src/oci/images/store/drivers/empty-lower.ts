/** What stands below where there is nothing: overlayfs wants a lower directory, of images without layers too (S56). */
import { chmod, mkdir } from 'node:fs/promises';
import type { RootfsPaths } from '../records/layer-layout.ts';
import { ROOT_MODE } from './modes.ts';

/**
 * The container's own empty directory. Made only where one is needed: hardly an image is without layers, and a directory
 * in each container costs six calls through the pool and an inode, which ext4 looks for the longer the more were freed in
 * the last minute.
 */
export async function emptyLower({ empty }: RootfsPaths): Promise<string> {
  await mkdir(empty, { recursive: true });
  await chmod(empty, ROOT_MODE);
  return empty;
}
