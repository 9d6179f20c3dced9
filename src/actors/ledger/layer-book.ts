/**
 * Who uses which layer. A layer is free when no image in the ledger has it, no unfinished pull keeps it for its next
 * try, and no owner holds it. Only free layers are deleted; a pull that needs a layer whose deletion is under way waits
 * for the end of that.
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
  /** The key of the `image.fetching` record of each pull under way, by the pull's owner. */
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

  /** Releases what the owner holds. False when it held nothing. */
  release(owner: string): boolean {
    this.#fetching.delete(owner);
    return this.#held.delete(owner);
  }

  /** Notes the owner's `image.fetching` record, by `fetchingKey`, until `release`. */
  fetches(owner: string, key: string): void {
    this.#fetching.set(owner, key);
  }

  /** Whether the end of this owner's pull ends its `image.fetching` record: no other pull shares that record. */
  endsFetching(owner: string): boolean {
    const key = this.#fetching.get(owner);
    return key !== undefined && [...this.#fetching].every(([other, one]) => other === owner || one !== key);
  }

  /** Resolves when no deletion of this layer is under way. */
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

  /** The records of all present images. */
  images(): readonly ImageRecord[] {
    return [...this.#ledger.images.values()];
  }

  /** Pulls that are under way or were interrupted. */
  unfinished(): readonly ImageFetching[] {
    return [...this.#ledger.fetching.values()];
  }

  /** Deletes those layers that are free. Throws the first failure after trying all. */
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
