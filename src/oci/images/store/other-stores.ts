/** Additional image stores, which are read-only: on a disk of the node's image, or shared by many nodes. */
import type { ClockPort } from '../../../ports/clock.ts';
import { fail, toFault } from '../../../base/fault.ts';
import type { Digest } from '../../../base/ids.ts';
import { parseDigest } from '../../../base/ids.ts';
import { storageLimits } from '../../bounds.ts';
import type { Log } from '../../../base/log.ts';
import { isThere } from '../../../host/files/is-there.ts';
import { inPool } from '../../../host/ffi/pool.ts';
import { layerDir, storePaths } from './records/layer-layout.ts';
import type { StorePaths } from './records/layer-layout.ts';
import { readLayerRecord } from './records/layer-record.ts';
import type { LayerRecord } from './records/layer-record.ts';
import { namesIn } from './records/names-in.ts';
import { withDeadline } from '../../../host/clock/deadline.ts';

export interface FoundLayer {
  readonly record: LayerRecord;
  /** Paths of the store that has it. */
  readonly paths: StorePaths;
  readonly isOwn: boolean;
}

/** The layers in all stores, and the stores that could not be read, whose layers are not known. */
export interface ListedLayers {
  /** Diff-ids of complete layers. */
  readonly layers: readonly Digest[];
  /** Roots of stores that could not be read. */
  readonly unread: readonly string[];
}

/** Runs a call to a store's disk, with the share of libuv's pool for that disk. */
type Gate = <R>(call: () => Promise<R>) => Promise<R>;

/** The stores. Each has the layout of troupe's own: `layers/<hex>/{diff/, layer.json}`. */
export class OtherStores {
  readonly #stores: readonly StorePaths[];
  readonly #clock: ClockPort;
  readonly #log: Log;
  readonly #isUsable: (root: string) => boolean;
  /** Roots that failed at their last use. */
  readonly #failed = new Set<string>();

  /** @param isUsable called before each use of a root; unusable roots are skipped */
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

  /** Roots that may not be read at present or failed at their last use: a layer that was not found may be there. */
  get unread(): readonly string[] {
    return this.#stores
      .map(({ root }) => root)
      .filter((root) => !this.#isUsable(root) || this.#failed.has(root));
  }

  /**
   * The layer in the first store with a complete copy. A store that cannot be read is skipped and listed in `unread`.
   */
  async find(diffId: Digest): Promise<FoundLayer | undefined> {
    for (const paths of this.#stores) {
      const record = await this.#asked(paths, async (gate) => {
        const found = await readLayerRecord(layerDir(paths, diffId), diffId, gate);
        if (found === undefined) await checkMounted(paths, gate);
        return found;
      });
      if (record !== undefined) return { record, paths, isOwn: false };
    }
    return undefined;
  }

  /** Lists the layers of all stores. */
  async list(): Promise<ListedLayers> {
    const found = new Set<Digest>();
    const unread: string[] = [];
    for (const paths of this.#stores) {
      const listed = await this.#asked(paths, async (gate) => {
        const names = await gate(() => namesIn(paths.layers));
        if (names.length === 0) await checkMounted(paths, gate);
        const diffIds = names.flatMap((name) => parseDigest(`sha256:${name}`) ?? []);
        const whole = await Promise.all(
          diffIds.map(async (diffId) =>
            (await readLayerRecord(layerDir(paths, diffId), diffId, gate)) === undefined ? [] : [diffId],
          ),
        );
        return whole.flat();
      });
      if (listed === undefined) unread.push(paths.root);
      for (const diffId of listed ?? []) found.add(diffId);
    }
    return { layers: [...found], unread };
  }

  /** Runs `ask` for a store; resolves to undefined if the store is unusable or fails. */
  async #asked<T>(paths: StorePaths, ask: (gate: Gate) => Promise<T>): Promise<T | undefined> {
    if (!this.#isUsable(paths.root)) return undefined;
    const bound = { signal: new AbortController().signal, timeoutMs: storageLimits.otherStoreMs };
    try {
      const answer = await withDeadline(this.#clock, bound, `read image store ${paths.root}`, () =>
        ask((call) => inPool(paths.root, call)),
      );
      this.#failed.delete(paths.root);
      return answer;
    } catch (error) {
      this.#failed.add(paths.root);
      this.#log.warn(
        { store: paths.root, fault: toFault(error) },
        'read additional image store: failed; images with layers in it are kept',
      );
      return undefined;
    }
  }
}

/** Throws `outside` if the store has no `layers` directory, which means that its file system is not mounted. */
async function checkMounted(paths: StorePaths, gate: Gate): Promise<void> {
  if (!(await gate(() => isThere(paths.layers))))
    fail('outside', `read image store ${paths.root}: ${paths.layers}: not found`, { subject: paths.root });
}
