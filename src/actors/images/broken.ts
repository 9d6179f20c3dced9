/** Images that have lost a layer (F27, F28). */
import type { Digest } from '../../base/ids.ts';
import { toFault } from '../../base/fault.ts';
import type { Ports } from '../ports/ports.ts';
import type { ImageRecord } from '../ports/specs.ts';

/**
 * An image without one of its layers is not here: its name goes, so that the kubelet pulls it again, which repairs it.
 * Containers made of it keep what they have. `there` are the layers that are whole.
 */
export async function forgetBroken(
  { journal, log }: Pick<Ports, 'journal' | 'log'>,
  images: readonly ImageRecord[],
  there: readonly Digest[],
): Promise<void> {
  const whole = new Set(there);
  const broken = images.filter((image) => !image.layers.every((layer) => whole.has(layer.diffId)));
  if (broken.length === 0) return;
  log.warn({ images: broken.map((image) => image.id) }, 'images without all of their layers are forgotten');
  try {
    await journal.append(
      broken.map(({ id }) => ({ type: 'image.removed' as const, id })),
      { sync: true },
    );
  } catch (thrown) {
    log.warn(
      { reason: toFault(thrown).message },
      'broken images stay listed, since no record could be written',
    );
  }
}
