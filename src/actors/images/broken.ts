/** Removes images that have lost a layer from the list (F27, F28). */
import { toFault } from '../../base/fault.ts';
import type { Ports } from '../../ports/ports.ts';
import type { ImageRecord } from '../../ports/specs.ts';
import type { StorageFacts } from '../../ports/storage.ts';

/**
 * Records images with a missing layer as removed, so that the kubelet pulls them again, which repairs them. Their
 * containers keep the layers that they have. All images are kept while an additional image store cannot be read, such
 * as an NFS mount that appears after the daemon has started: their layers may be there.
 */
export async function forgetBroken(
  { journal, log }: Pick<Ports, 'journal' | 'log'>,
  images: readonly ImageRecord[],
  { layers, unreadStores = [] }: Pick<StorageFacts, 'layers' | 'unreadStores'>,
): Promise<void> {
  const whole = new Set(layers);
  const broken = images.filter((image) => !image.layers.every((layer) => whole.has(layer.diffId)));
  if (broken.length === 0) return;
  const ids = broken.map((image) => image.id);
  if (unreadStores.length > 0) {
    log.warn(
      { images: ids, stores: unreadStores },
      'keep images with missing layers: an additional image store cannot be read',
    );
    return;
  }
  log.warn({ images: ids }, 'remove images with missing layers from the list');
  try {
    await journal.append(
      ids.map((id) => ({ type: 'image.removed' as const, id })),
      { sync: true },
    );
  } catch (thrown) {
    log.warn(
      { reason: toFault(thrown).message },
      'images with missing layers stay listed: journal write failed',
    );
  }
}
