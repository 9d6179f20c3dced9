/** What overlayfs shows of layers of our store. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { unmount } from '../../../src/host/mounts/mounts.ts';
import { mountOverlay } from '../../../src/host/mounts/overlay.ts';
import type { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { digestOf } from '../../unit/oci/layers/tar-builder.ts';
import { put } from '../unpack/support.ts';

/**
 * Unpacks the layers, lowest first, and reads the merged tree at each that is wanted.
 * @param directory is made; holds the mount
 * @returns what `read` said, for each wanted layer
 */
export async function showMerged<T>(
  store: LayerStore,
  layers: readonly Buffer[],
  directory: string,
  isWanted: (top: number) => boolean,
  read: (rootfs: string, top: number) => T,
): Promise<T[]> {
  const [target, empty] = [join(directory, 'rootfs'), join(directory, 'empty')];
  mkdirSync(target, { recursive: true });
  mkdirSync(empty);
  const lower: string[] = [];
  const shown: T[] = [];
  for (const [top, tar] of layers.entries()) {
    const diff = await put(store, tar);
    // what lies below it is not shown; the mark is the record's, since overlayfs has none for a root
    if ((await store.record(digestOf(tar)))?.rootOpaque === true) lower.length = 0;
    lower.unshift(diff);
    if (!isWanted(top)) continue;
    // overlayfs wants two where nothing can be written
    await mountOverlay({ target, lower: [...lower, empty], source: 'overlay', readOnly: true });
    try {
      shown.push(read(target, top));
    } finally {
      await unmount(target);
    }
  }
  return shown;
}
