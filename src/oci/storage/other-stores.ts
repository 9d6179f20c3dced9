/** Stores of images that are only read: on a disk of the node's image, or shared by many nodes. Nothing of theirs is ever written. */
import type { ClockPort } from '../../actors/ports/clock.ts';
import { toFault } from '../../base/fault.ts';
import type { Digest } from '../../base/ids.ts';
import { parseDigest } from '../../base/ids.ts';
import { storageLimits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { inPool } from '../../host/pool.ts';
import { layerDir, storePaths } from './layer-layout.ts';
import type { StorePaths } from './layer-layout.ts';
import { readLayerRecord } from './layer-record.ts';
import type { LayerRecord } from './layer-record.ts';
import { namesIn } from './names-in.ts';
import { within } from './within.ts';

export interface FoundLayer {
  readonly record: LayerRecord;
  /** Of the store that has it. */
  readonly paths: StorePaths;
  readonly isOwn: boolean;
}

/** Roots as another troupe has them: `layers/<hex>/{diff/, layer.json}`. */
export class OtherStores {
  readonly #stores: readonly StorePaths[];
  readonly #clock: ClockPort;
  readonly #log: Log;
  readonly #isUsable: (root: string) => boolean;

  /** `isUsable`: of a root, asked each time; one that is not is left out. */
  constructor(
    roots: readonly string[],
    {
      clock,
      log,
      isUsable = () => true,
    }: { readonly clock: ClockPort; readonly log: Log; readonly isUsable?: (root: string) => boolean },
  ) {
    this.#isUsable = isUsable;
    this.#stores = roots.map((root) => storePaths(root));
    this.#clock = clock;
    this.#log = log;
  }

  /** The layer in the first store that has it whole. A store that does not answer in time has nothing. */
  async find(diffId: Digest): Promise<FoundLayer | undefined> {
    for (const paths of this.#stores) {
      const record = await this.#asked(paths, undefined, (gate) =>
        readLayerRecord(layerDir(paths, diffId), diffId, gate),
      );
      if (record !== undefined) return { record, paths, isOwn: false };
    }
    return undefined;
  }

  /** Diff-ids of all their layers that are whole. */
  async list(): Promise<Digest[]> {
    const found = new Set<Digest>();
    for (const paths of this.#stores) {
      const listed = await this.#asked(paths, [], async (gate) => {
        const diffIds = (await gate(() => namesIn(paths.layers))).flatMap(
          (name) => parseDigest(`sha256:${name}`) ?? [],
        );
        const whole = await Promise.all(
          diffIds.map(async (diffId) =>
            (await readLayerRecord(layerDir(paths, diffId), diffId, gate)) === undefined ? [] : [diffId],
          ),
        );
        return whole.flat();
      });
      for (const diffId of listed) found.add(diffId);
    }
    return [...found];
  }

  async #asked<T>(
    paths: StorePaths,
    nothing: T,
    ask: (gate: <R>(call: () => Promise<R>) => Promise<R>) => Promise<T>,
  ): Promise<T> {
    if (!this.#isUsable(paths.root)) return nothing;
    const bound = { signal: new AbortController().signal, timeoutMs: storageLimits.otherStoreMs };
    try {
      return await within(this.#clock, bound, `read image store ${paths.root}`, () =>
        ask((call) => inPool(paths.root, call)),
      );
    } catch (error) {
      this.#log.warn(
        { store: paths.root, fault: toFault(error) },
        'an additional image store can not be read; it counts as empty',
      );
      return nothing;
    }
  }
}
