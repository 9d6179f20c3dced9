/** How far each pull is, layer by layer: written by its effects, read by introspection. Nothing is decided by it. */
import type { Digest } from '../../base/ids.ts';
import { actorLimits } from '../bounds.ts';
import type { ClockPort } from '../../ports/clock.ts';
import type { Layer } from '../../ports/specs.ts';

export interface LayerProgress {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly downloadedBytes: number;
  /** Over the last seconds; 0 before the first of them, while nothing comes, and once it is here. */
  readonly bytesPerSecond: number;
  /** Until all bytes are here if it goes on so; undefined when nothing tells. */
  readonly remainingMs: number | undefined;
  /** In the store, downloaded by this pull or not. */
  readonly present: boolean;
}

/** A whole pull in figures. */
export type PullSum = Pick<LayerProgress, 'sizeBytes' | 'downloadedBytes' | 'bytesPerSecond'>;

/** So many bytes at a moment, monotonic milliseconds. */
interface Mark {
  readonly atMs: number;
  readonly bytes: number;
}

interface Tracked {
  readonly digest: Digest;
  readonly sizeBytes: number;
  downloadedBytes: number;
  present: boolean;
  /** The rate is counted from the older of two marks, so that it always covers between one span and two. */
  older: Mark | undefined;
  newer: Mark | undefined;
}

export class PullProgress {
  readonly #clock: Pick<ClockPort, 'monoMs'>;
  readonly #pulls = new Map<string, Map<Digest, Tracked>>();

  constructor(clock: Pick<ClockPort, 'monoMs'>) {
    this.#clock = clock;
  }

  /** The pull's layers are known. */
  begin(pull: string, layers: readonly Layer[]): void {
    const fresh = layers.map(({ digest, sizeBytes }): [Digest, Tracked] => [
      digest,
      { digest, sizeBytes, downloadedBytes: 0, present: false, older: undefined, newer: undefined },
    ]);
    this.#pulls.set(pull, new Map(fresh));
  }

  /** So many bytes of the layer are here. */
  downloaded(pull: string, digest: Digest, downloadedBytes: number): void {
    const layer = this.#pulls.get(pull)?.get(digest);
    if (layer === undefined) return;
    const mark = { atMs: this.#clock.monoMs(), bytes: downloadedBytes };
    // what an earlier pull had left is there in a moment, and says nothing of the network; fewer bytes are a new start
    if (layer.newer === undefined || downloadedBytes < layer.downloadedBytes)
      layer.older = layer.newer = mark;
    else if (mark.atMs - layer.newer.atMs >= actorLimits.rateSpanMs) {
      layer.older = layer.newer;
      layer.newer = mark;
    }
    layer.downloadedBytes = downloadedBytes;
  }

  present(pull: string, digest: Digest): void {
    const layer = this.#pulls.get(pull)?.get(digest);
    if (layer !== undefined) layer.present = true;
  }

  /** Lowest layer first; empty before the manifest is known. */
  of(pull: string): readonly LayerProgress[] {
    const now = this.#clock.monoMs();
    return [...(this.#pulls.get(pull)?.values() ?? [])].map((layer) => {
      const { digest, sizeBytes, downloadedBytes, present } = layer;
      const bytesPerSecond = rateOf(layer, now);
      const remainingMs =
        present || bytesPerSecond === 0
          ? undefined
          : Math.round(((sizeBytes - downloadedBytes) / bytesPerSecond) * 1000);
      return { digest, sizeBytes, downloadedBytes, bytesPerSecond, remainingMs, present };
    });
  }

  /** All layers together; one that was in the store counts as downloaded. */
  sum(pull: string): PullSum {
    const sum = { sizeBytes: 0, downloadedBytes: 0, bytesPerSecond: 0 };
    for (const { sizeBytes, downloadedBytes, bytesPerSecond, present } of this.of(pull)) {
      sum.sizeBytes += sizeBytes;
      sum.downloadedBytes += present ? sizeBytes : downloadedBytes;
      sum.bytesPerSecond += bytesPerSecond;
    }
    return sum;
  }

  /** The pull has ended, however. */
  forget(pull: string): void {
    this.#pulls.delete(pull);
  }
}

function rateOf({ older, downloadedBytes, sizeBytes, present }: Tracked, nowMs: number): number {
  if (older === undefined || present || downloadedBytes >= sizeBytes) return 0;
  const spanMs = nowMs - older.atMs;
  // less than this is one read of a socket, which would be a thousand times the truth
  if (spanMs < actorLimits.rateLeastMs) return 0;
  return Math.round(((downloadedBytes - older.bytes) / spanMs) * 1000);
}
