/** Layers by diff-id: taken in whole and durable or not at all, listed, deleted, repaired. */
import { lstat, mkdir, readFile, readdir, rename, chmod } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort } from '../../actors/ports/clock.ts';
import type { RandomPort } from '../../actors/ports/random.ts';
import { KeyedMutex, Semaphore } from '../../base/bounded.ts';
import { fail, toFault } from '../../base/fault.ts';
import type { Digest } from '../../base/ids.ts';
import { parseDigest } from '../../base/ids.ts';
import { storageLimits, unpackLimits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { codeOf } from '../../host/errno.ts';
import { Flights } from './flights.ts';
import type { Passenger } from './flights.ts';
import { takeLayer } from './layer-intake.ts';
import type { Download } from './layer-intake.ts';
import { DIFF, RECORD, layerDir, storePaths } from './layer-layout.ts';
import type { StorePaths } from './layer-layout.ts';
import { parseLayerRecord } from './layer-record.ts';
import type { LayerRecord } from './layer-record.ts';
import { removeSmallTree } from './small-tree.ts';
import type { TreeSize } from './tree.ts';
import { WorkerPool } from './worker-pool.ts';
import type { UnpackJob } from './worker-protocol.ts';

export interface LayerStoreOptions {
  /** Absolute; made with mode 0700 where it is missing. */
  readonly root: string;
  readonly clock: ClockPort;
  readonly random: RandomPort;
  readonly log: Log;
  /** Bounds of one layer, where they are to be smaller than the built-in ones. */
  readonly maxLayerBytes?: number;
  readonly maxLayerEntries?: number;
  readonly workerIdleMs?: number;
}

const STORE_MODE = 0o700;
/** Bytes of a fresh name below partial and trash. */
const NAME_BYTES = 16;

export class LayerStore {
  readonly paths: StorePaths;
  readonly #options: LayerStoreOptions;
  readonly #pool: WorkerPool;
  readonly #flights = new Flights();
  readonly #locks = new KeyedMutex('layer', storageLimits.layerWaiting);
  readonly #transfers = new Semaphore('layer transfers', storageLimits.transfers, storageLimits.transfersWaiting);
  readonly #deletions = new Semaphore('deletions', storageLimits.deletions, storageLimits.deletionsWaiting);
  readonly #background = new Set<Promise<void>>();
  /** Names below partial that belong to unpackings of this process. */
  readonly #active = new Set<string>();
  #prepared: Promise<void> | undefined;

  constructor(options: LayerStoreOptions) {
    this.#options = options;
    this.paths = storePaths(options.root);
    this.#pool = new WorkerPool({
      clock: options.clock,
      ...(options.workerIdleMs === undefined ? {} : { idleMs: options.workerIdleMs }),
    });
  }

  /** Makes the directories; called by everything that writes, and cheap after the first time. */
  prepare(): Promise<void> {
    this.#prepared ??= this.#makeDirectories().catch((error: unknown) => {
      this.#prepared = undefined;
      throw error;
    });
    return this.#prepared;
  }

  /** The layer's record, or undefined when it is not there whole (F27, F28). */
  async record(diffId: Digest): Promise<LayerRecord | undefined> {
    const dir = layerDir(this.paths, diffId);
    try {
      const [text, diff] = await Promise.all([readFile(join(dir, RECORD), 'utf8'), lstat(join(dir, DIFF))]);
      if (text.length > storageLimits.recordBytes || !diff.isDirectory()) return undefined;
      return parseLayerRecord(text, diffId);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
      throw error;
    }
  }

  /**
   * Makes sure that the layer is there: from the store, from a download that is under way already, or by `download`.
   * The caller's abort rejects at once; the download goes on for others.
   */
  async ensure(layer: { readonly diffId: Digest; readonly blobDigest: Digest }, passenger: Passenger, download: Download): Promise<void> {
    if (!this.#flights.has(layer.diffId) && (await this.record(layer.diffId)) !== undefined) return;
    passenger.signal.throwIfAborted();
    await this.#flights.join(layer.diffId, passenger, (signal, onBytes) => this.#take(layer, signal, onBytes, download));
  }

  /** Deletes the layer; its name is gone when this settles, its files a little later. */
  async remove(diffId: Digest): Promise<void> {
    await this.#locks.with(diffId, () => this.discard(layerDir(this.paths, diffId)));
  }

  /** Records of all layers that are whole. */
  async list(): Promise<LayerRecord[]> {
    const records: LayerRecord[] = [];
    await this.#eachLayer(async (diffId) => {
      const record = await this.record(diffId);
      if (record !== undefined) records.push(record);
    });
    return records;
  }

  /** Deletes what pulls and removals of an earlier process left, and layers without a good record. Settles when it is gone. */
  async removePartials(): Promise<void> {
    await this.prepare();
    await this.#eachLayer(async (diffId) => {
      await this.#locks.with(diffId, async () => {
        if ((await this.record(diffId)) === undefined) await rename(layerDir(this.paths, diffId), this.#trashName());
      });
    });
    const partials = (await names(this.paths.partial)).filter((name) => !this.#active.has(name));
    const rubbish = [
      ...partials.map((name) => join(this.paths.partial, name)),
      ...(await names(this.paths.trash)).map((name) => join(this.paths.trash, name)),
    ];
    if (rubbish.length > 0) await this.#pool.start({ kind: 'remove', paths: rubbish }).result;
  }

  /** Takes a directory of the store away from its place, at once, and deletes it in the background. Succeeds when it is gone. */
  async discard(path: string): Promise<void> {
    await this.prepare();
    const trash = this.#trashName();
    try {
      await rename(path, trash);
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return;
      throw error;
    }
    this.#deleteLater(trash);
  }

  /** Disk use of trees, counted in a worker. */
  async measure(paths: readonly string[]): Promise<TreeSize> {
    const result = await this.#pool.start({ kind: 'measure', paths }).result;
    return result.kind === 'measure' ? result.size : fail('bug', `measure trees: the worker answered ${result.kind}`);
  }

  /** Worker threads that are there now. */
  get workers(): number {
    return this.#pool.size;
  }

  /** Settles when the deletions that are under way are done. */
  async settled(): Promise<void> {
    while (this.#background.size > 0) await Promise.all(this.#background);
  }

  /** Ends the workers that have nothing to do; the others end after their jobs. */
  close(): void {
    this.#pool.close();
  }

  async #makeDirectories(): Promise<void> {
    const { root, layers, partial, trash, containers } = this.paths;
    await mkdir(root, { recursive: true, mode: STORE_MODE });
    for (const path of [layers, partial, trash, containers]) {
      await mkdir(path, { recursive: true, mode: STORE_MODE });
      // one that was there already, perhaps made by hand (S19)
      await chmod(path, STORE_MODE);
    }
  }

  async #take(
    layer: { readonly diffId: Digest; readonly blobDigest: Digest },
    signal: AbortSignal,
    onBytes: (bytes: number) => void,
    download: Download,
  ): Promise<void> {
    const { diffId } = layer;
    await this.prepare();
    const take = async (): Promise<void> => {
      if ((await this.record(diffId)) !== undefined) return;
      // a layer directory without its record: what is in it can't be trusted
      await this.discard(layerDir(this.paths, diffId));
      let bytes = 0;
      const counted: Download = (sink, downloadSignal) =>
        download(
          {
            write: async (piece) => {
              bytes += piece.length;
              onBytes(bytes);
              await sink.write(piece);
            },
            restart: async () => {
              bytes = 0;
              await sink.restart();
            },
          },
          downloadSignal,
        );
      await takeLayer(this.#intake(layer), counted, signal);
    };
    await this.#locks.with(diffId, () => this.#transfers.with(take, signal), signal);
  }

  #intake(layer: { readonly diffId: Digest; readonly blobDigest: Digest }): Parameters<typeof takeLayer>[0] {
    const options = this.#options;
    return {
      pool: this.#pool,
      clock: options.clock,
      newJob: (): UnpackJob => {
        const partial = options.random.token(NAME_BYTES);
        this.#active.add(partial);
        return {
          kind: 'unpack',
          root: this.paths.root,
          partial,
          ...layer,
          entries: options.maxLayerEntries ?? unpackLimits.entries,
          layerBytes: options.maxLayerBytes ?? unpackLimits.layerBytes,
        };
      },
      onEnd: (job, isClean) => {
        this.#active.delete(job.partial);
        if (isClean) return;
        options.log.warn({ diffId: job.diffId, partial: job.partial }, 'a layer that was given up is left half unpacked');
        this.#deleteLater(join(this.paths.partial, job.partial));
      },
    };
  }

  async #eachLayer(work: (diffId: Digest) => Promise<void>): Promise<void> {
    const diffIds = (await names(this.paths.layers)).flatMap((name) => parseDigest(`sha256:${name}`) ?? []);
    for (let at = 0; at < diffIds.length; at += storageLimits.parallelReads) {
      await Promise.all(diffIds.slice(at, at + storageLimits.parallelReads).map(work));
    }
  }

  #trashName(): string {
    return join(this.paths.trash, this.#options.random.token(NAME_BYTES));
  }

  #deleteLater(path: string): void {
    const deleted = this.#deletions
      .with(async () => {
        if (await removeSmallTree(path, storageLimits.smallTreeEntries)) return;
        await this.#pool.start({ kind: 'remove', paths: [path] }).result;
      })
      .catch((error: unknown) => {
        // it stays in the trash until the next start's removePartials
        this.#options.log.warn({ path, fault: toFault(error) }, 'a directory in the trash could not be deleted');
      })
      .finally(() => {
        this.#background.delete(deleted);
      });
    this.#background.add(deleted);
  }
}

/** Names in a directory, bounded; none when it is not there. */
export async function names(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).slice(0, storageLimits.dirEntries);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

