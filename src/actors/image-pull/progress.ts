/**
 * The progress of each pull, layer by layer: written by the effects, read by introspection. No decision depends on it.
 */
import type { Digest } from '../../base/ids.ts';
import { actorLimits } from '../bounds.ts';
import type { ClockPort } from '../../ports/clock.ts';
import type { Layer } from '../../ports/specs.ts';

export interface LayerProgress {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly downloadedBytes: number;
  /**
   * Average over the last seconds; 0 before the first measurement, while nothing arrives, and once the layer is
   * complete.
   */
  readonly bytesPerSecond: number;
  /** Milliseconds until the download is complete at this rate; undefined when the rate is 0. */
  readonly remainingMs: number | undefined;
  /** The layer is in the store, whether or not this pull downloaded it. */
  readonly present: boolean;
}

/** Totals of a pull. */
export type PullSum = Pick<LayerProgress, 'sizeBytes' | 'downloadedBytes' | 'bytesPerSecond'>;

/** Bytes downloaded at a time in monotonic milliseconds. */
interface Mark {
  readonly atMs: number;
  readonly bytes: number;
}

interface Tracked {
  readonly digest: Digest;
  readonly sizeBytes: number;
  downloadedBytes: number;
  present: boolean;
  /** The rate is measured from the older of two marks, so that it covers between one and two times `rateSpanMs`. */
  older: Mark | undefined;
  newer: Mark | undefined;
}

export class PullProgress {
  readonly #clock: Pick<ClockPort, 'monoMs'>;
  readonly #pulls = new Map<string, Map<Digest, Tracked>>();

  constructor(clock: Pick<ClockPort, 'monoMs'>) {
    this.#clock = clock;
  }

  /** Starts the progress of a pull whose layers are known. */
  begin(pull: string, layers: readonly Layer[]): void {
    const fresh = layers.map(({ digest, sizeBytes }): [Digest, Tracked] => [
      digest,
      { digest, sizeBytes, downloadedBytes: 0, present: false, older: undefined, newer: undefined },
    ]);
    this.#pulls.set(pull, new Map(fresh));
  }

  /** Notes how many bytes of the layer have been downloaded. */
  downloaded(pull: string, digest: Digest, downloadedBytes: number): void {
    const layer = this.#pulls.get(pull)?.get(digest);
    if (layer === undefined) return;
    const mark = { atMs: this.#clock.monoMs(), bytes: downloadedBytes };
    // the first bytes may be those an interrupted pull left, which say nothing of the network's rate; fewer bytes than
    // before mean that the download began again
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

  /** The progress of each layer, lowest first; empty before the manifest is known. */
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

  /** The sum over all layers; a layer that was already in the store counts as downloaded. */
  sum(pull: string): PullSum {
    const sum = { sizeBytes: 0, downloadedBytes: 0, bytesPerSecond: 0 };
    for (const { sizeBytes, downloadedBytes, bytesPerSecond, present } of this.of(pull)) {
      sum.sizeBytes += sizeBytes;
      sum.downloadedBytes += present ? sizeBytes : downloadedBytes;
      sum.bytesPerSecond += bytesPerSecond;
    }
    return sum;
  }

  /** The pull has ended, with or without success. */
  forget(pull: string): void {
    this.#pulls.delete(pull);
  }
}

function rateOf({ older, downloadedBytes, sizeBytes, present }: Tracked, nowMs: number): number {
  if (older === undefined || present || downloadedBytes >= sizeBytes) return 0;
  const spanMs = nowMs - older.atMs;
  // a shorter span may hold a single socket read, whose rate would be a thousand times too high
  if (spanMs < actorLimits.rateLeastMs) return 0;
  return Math.round(((downloadedBytes - older.bytes) / spanMs) * 1000);
}
