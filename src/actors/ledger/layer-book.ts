/**
 * Who uses which layer. A layer is free when no image in the ledger has it, no
 * unfinished pull has fetched it for its next try, and nobody holds it; only free layers are deleted, and whoever needs a layer that
 * is just being deleted waits for that to end.
 */
import type { Digest } from '../../base/ids.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { ImageFetching } from '../../ports/journal.ts';
import type { ImageRecord } from '../../ports/specs.ts';
import type { StoragePort } from '../../ports/storage.ts';
import type { Ledger } from './ledger.ts';

export class LayerBook {
  readonly #ledger: Ledger;
  readonly #storage: StoragePort;
  readonly #held = new Map<string, ReadonlySet<Digest>>();
  /** What pulls under way have on record as `image.fetching`, by their owner. */
  readonly #fetching = new Map<string, string>();
  readonly #going = new Map<Digest, Promise<void>>();

  constructor(ledger: Ledger, storage: StoragePort) {
    this.#ledger = ledger;
    this.#storage = storage;
  }

  /** Keeps layers for an owner (a container, a pull) until `release`; replaces what the owner held. */
  hold(owner: string, layers: readonly Digest[]): void {
    this.#held.set(owner, new Set(layers));
  }

  /** False when it held none. */
  release(owner: string): boolean {
    this.#fetching.delete(owner);
    return this.#held.delete(owner);
  }

  /** The owner's pull fetches this (`fetchingKey`) until `release`. */
  fetches(owner: string, key: string): void {
    this.#fetching.set(owner, key);
  }

  /** Whether the end of this owner's pull is that of the record: it began it, and nobody else fetches the same now. */
  endsFetching(owner: string): boolean {
    const key = this.#fetching.get(owner);
    return key !== undefined && [...this.#fetching].every(([other, one]) => other === owner || one !== key);
  }

  /** Settles when no deletion of this layer is under way. */
  async settled(layer: Digest): Promise<void> {
    await this.#going.get(layer);
  }

  isFree(layer: Digest): boolean {
    for (const held of this.#held.values()) if (held.has(layer)) return false;
    for (const image of this.#ledger.images.values()) {
      if (image.layers.some((one) => one.diffId === layer)) return false;
    }
    for (const { layers } of this.#ledger.fetching.values())
      if (layers.some((one) => one.diffId === layer)) return false;
    return true;
  }

  /** Records of the images that are here. */
  images(): readonly ImageRecord[] {
    return [...this.#ledger.images.values()];
  }

  /** Pulls that have come to no end, whether they are under way or were interrupted. */
  unfinished(): readonly ImageFetching[] {
    return [...this.#ledger.fetching.values()];
  }

  /** Deletes those of the layers that are free. The first failure is thrown after all were tried. */
  async collect(layers: Iterable<Digest>, fx: EffectContext): Promise<void> {
    const removals: Promise<void>[] = [];
    for (const layer of new Set(layers)) {
      if (!this.isFree(layer)) continue;
      removals.push(this.#going.get(layer) ?? this.#remove(layer, fx));
    }
    const results = await Promise.allSettled(removals);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  #remove(layer: Digest, fx: EffectContext): Promise<void> {
    const removal = this.#storage.removeLayer({ diffId: layer }, fx);
    const quiet = removal.then(
      () => undefined,
      () => undefined,
    );
    this.#going.set(layer, quiet);
    void quiet.then(() => this.#going.delete(layer));
    return removal;
  }
}
