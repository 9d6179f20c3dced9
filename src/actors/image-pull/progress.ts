/** How far each pull is, layer by layer: written by its effects, read by introspection. Nothing is decided by it. */
import type { Digest } from '../../base/ids.ts';
import type { Layer } from '../ports/specs.ts';

export interface LayerProgress {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly downloadedBytes: number;
  /** In the store, downloaded by this pull or not. */
  readonly present: boolean;
}

export class PullProgress {
  readonly #pulls = new Map<string, Map<Digest, LayerProgress>>();

  /** The pull's layers are known. */
  begin(pull: string, layers: readonly Layer[]): void {
    const fresh = layers.map(({ digest, sizeBytes }) => [digest, { digest, sizeBytes, downloadedBytes: 0, present: false }] as const);
    this.#pulls.set(pull, new Map(fresh));
  }

  /** So many bytes of the layer are here. */
  downloaded(pull: string, digest: Digest, downloadedBytes: number): void {
    this.#change(pull, digest, { downloadedBytes });
  }

  present(pull: string, digest: Digest): void {
    this.#change(pull, digest, { present: true });
  }

  /** Lowest layer first; empty before the manifest is known. */
  of(pull: string): readonly LayerProgress[] {
    return [...(this.#pulls.get(pull)?.values() ?? [])];
  }

  /** The pull has ended, however. */
  forget(pull: string): void {
    this.#pulls.delete(pull);
  }

  #change(pull: string, digest: Digest, change: Partial<LayerProgress>): void {
    const layers = this.#pulls.get(pull);
    const layer = layers?.get(digest);
    if (layer !== undefined) layers?.set(digest, { ...layer, ...change });
  }
}
