/**
 * The layers of images from which roots were mounted, so that the next container of such an image reads no records:
 * that is three calls in libuv's pool for each layer. Belongs to the layer store, which forgets each of its layers that
 * is deleted, replaced or found without a valid record: the lists with that layer, and no others, since a layer that is
 * still to be pulled, or is in another store, also has no record. A layer that somebody else has deleted is noticed by
 * the mount, which then fails, or by the janitor, which reads all records in each round.
 */
import type { Digest } from '../../../base/ids.ts';
import { storageLimits } from '../../bounds.ts';
import type { StoredLayer } from './drivers/rootfs-driver.ts';

/** A list whose records are being read. */
interface Learned {
  readonly layers: ReadonlySet<Digest>;
  /** Those of them that were forgotten meanwhile: what was read of them may be out of date. */
  readonly forgotten: Set<Digest>;
}

export class MountableLayers {
  /** By the image's list of layers; the oldest list first. */
  readonly #lists = new Map<string, readonly StoredLayer[]>();
  readonly #learning = new Set<Learned>();

  /** What was learned of these layers; undefined if their records have to be read. */
  find(layers: readonly Digest[]): readonly StoredLayer[] | undefined {
    return this.#lists.get(keyOf(layers));
  }

  /**
   * Keeps what `read` finds in the records, unless one of the found layers is forgotten before it resolves. Other
   * stores may be unmounted, so lists with their layers are not kept.
   */
  async learn(layers: readonly Digest[], read: () => Promise<readonly StoredLayer[]>): Promise<void> {
    const learned: Learned = { layers: new Set(layers), forgotten: new Set() };
    this.#learning.add(learned);
    try {
      const stored = await read();
      if (stored.every(({ isOwn, diffId }) => isOwn && !learned.forgotten.has(diffId)))
        this.#keep(keyOf(layers), stored);
    } finally {
      this.#learning.delete(learned);
    }
  }

  /** Drops the lists with this layer. */
  forget(diffId: Digest): void {
    for (const { layers, forgotten } of this.#learning) if (layers.has(diffId)) forgotten.add(diffId);
    for (const [key, stored] of this.#lists)
      if (stored.some((layer) => layer.diffId === diffId)) this.#lists.delete(key);
  }

  /** Drops this list alone. */
  drop(layers: readonly Digest[]): void {
    this.#lists.delete(keyOf(layers));
  }

  #keep(key: string, stored: readonly StoredLayer[]): void {
    const [oldest] = this.#lists.keys();
    if (oldest !== undefined && this.#lists.size >= storageLimits.mountableLists) this.#lists.delete(oldest);
    this.#lists.set(key, stored);
  }
}

function keyOf(layers: readonly Digest[]): string {
  return layers.join(' ');
}
