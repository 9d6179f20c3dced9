/** Images that have lost a layer (F27, F28). */
import { toFault } from '../../base/fault.ts';
import type { Ports } from '../../ports/ports.ts';
import type { ImageRecord } from '../../ports/specs.ts';
import type { StorageFacts } from '../../ports/storage.ts';

/**
 * An image without one of its layers is not here: its name goes, so that the kubelet pulls it again, which repairs it.
 * Containers made of it keep what they have. While an additional store can't be read (an NFS mount that comes later than
 * the daemon), nobody knows which images have lost one, and all are kept.
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
      'images without all of their layers are kept: an additional image store can not be read',
    );
    return;
  }
  log.warn({ images: ids }, 'images without all of their layers are forgotten');
  try {
    await journal.append(
      ids.map((id) => ({ type: 'image.removed' as const, id })),
      { sync: true },
    );
  } catch (thrown) {
    log.warn(
      { reason: toFault(thrown).message },
      'broken images stay listed, since no record could be written',
    );
  }
}
