/**
 * The layer store: adds, finds, lists and deletes layers by diff-id. A layer is complete and durable, or not in the
 * store.
 */
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort } from '../../../ports/clock.ts';
import { KeyedMutex } from '../../../base/bounded.ts';
import { Conditions } from '../../../base/conditions.ts';
import { fail, toFault } from '../../../base/fault.ts';
import type { ContainerId, Digest } from '../../../base/ids.ts';
import { parseDigest } from '../../../base/ids.ts';
import type { DebrisReport } from '../../../base/left-debris.ts';
import { storageLimits, unpackLimits } from '../../bounds.ts';
import type { Log } from '../../../base/log.ts';
import { counted } from './counted-download.ts';
import { overlayDriver } from './drivers/overlay.ts';
import type { DriverHost, RootfsDriver, StoredLayer } from './drivers/rootfs-driver.ts';
import { SingleFlight } from './single-flight.ts';
import type { Caller } from './single-flight.ts';
import { takeLayer } from './layer-intake.ts';
import type { Download, IntakeOptions } from './layer-intake.ts';
import { layerDiff, layerDir, layerOf, storePaths } from './records/layer-layout.ts';
import type { StorePaths } from './records/layer-layout.ts';
import { readLayerRecord } from './records/layer-record.ts';
import type { LayerRecord } from './records/layer-record.ts';
import type { LayerStoreOptions } from './layer-store-options.ts';
import { namesIn } from './records/names-in.ts';
import { MountableLayers } from './mountable-layers.ts';
import { OtherStores } from './other-stores.ts';
import type { FoundLayer, ListedLayers } from './other-stores.ts';
import type { StoreDirectories } from './records/store-directories.ts';
import { StoreDisks } from './store-disks.ts';
import { DiskSweep } from './sweep-debris.ts';
import { Transfers } from './transfers.ts';
import type { Party } from './transfers.ts';
import type { KnownEntry } from '../../trees/small-tree.ts';
import type { Measured } from '../../trees/tree-measure.ts';
import type { UnpackJob } from './workers/worker-protocol.ts';

/** A layer that a pull needs. */
export interface WantedLayer extends Pick<UnpackJob, 'diffId' | 'blobDigest' | 'file'> {
  /** Registry, namespace and credentials of the download; omitted if they are not known. */
  readonly party?: Party;
}

const NO_PARTY: Party = { host: '', namespace: '', credential: '' };
/** Random bytes of a new name below `partial/` and `trash/`. */
const NAME_BYTES = 16;

export class LayerStore {
  readonly paths: StorePaths;
  readonly driver: RootfsDriver;
  readonly directories: StoreDirectories;
  /** Containers whose root and volumes this process has unmounted since it last mounted any; removal takes them out. */
  readonly unmounted = new Set<ContainerId>();
  /** Containers for which this process has mounted the root alone, in a new directory. */
  readonly onlyRoot = new Set<ContainerId>();
  readonly mountable = new MountableLayers();
  readonly #options: LayerStoreOptions;
  readonly #others: OtherStores;
  readonly #disks: StoreDisks;
  readonly #flights: SingleFlight;
  readonly #locks = new KeyedMutex('layer', storageLimits.layerWaiting);
  readonly #transfers: Transfers;
  /** Reports problems of the store. */
  readonly conditions: DebrisReport;
  readonly #imagesSweep: DiskSweep;
  /** Undefined if images and containers share a root. */
  readonly #containersSweep: DiskSweep | undefined;
  /** Names below `partial/` that belong to running jobs of this process. */
  readonly #active = new Set<string>();
  #takenOver: Promise<void> | undefined;
  #recovered: Promise<void> | undefined;

  constructor(options: LayerStoreOptions) {
    this.#options = options;
    this.paths = storePaths(options.root, options.containersRoot);
    this.#flights = new SingleFlight(options.clock);
    this.#transfers = new Transfers({
      clock: options.clock,
      slots: () => options.transfers?.() ?? storageLimits.transfers,
      slotsPerHost: () => options.transfersPerSource?.() ?? storageLimits.transfersPerSource,
    });
    this.#others = new OtherStores(options.additionalRoots ?? [], options);
    const { paths, clock, log } = this;
    const newName = (): string => options.random.token(NAME_BYTES);
    const conditions = options.conditions ?? new Conditions(log);
    this.conditions = conditions;
    const onMoved = options.onMoved ?? ((moved): void => conditions.report(moved));
    const disks = new StoreDisks({
      paths,
      clock,
      log,
      conditions,
      onMoved,
      newName,
      workerIdleMs: options.workerIdleMs,
      workerPool: options.workerPool,
    });
    this.#disks = disks;
    this.directories = disks.directories;
    const sweep = {
      store: this,
      conditions,
      isActive: (partial: string) => this.#active.has(partial),
      setAside: (diffId: Digest) => this.#setAsideIfIncomplete(diffId),
    };
    this.#imagesSweep = new DiskSweep(
      { ...sweep, disks: disks.isOne ? 'both' : 'images' },
      disks.images.trash,
    );
    this.#containersSweep = disks.isOne
      ? undefined
      : new DiskSweep({ ...sweep, disks: 'containers' }, disks.containers.trash);
    const make =
      options.driver ??
      ((host: DriverHost) => overlayDriver(host, { metacopy: false, isVolatile: () => true }));
    this.driver = make({
      paths,
      clock,
      log,
      flatten: async (request) =>
        void (await disks.containers.pool.start({ kind: 'flatten', ...request }).result),
      discard: (path) => this.discard(path),
      newName,
    });
  }

  get clock(): ClockPort {
    return this.#options.clock;
  }

  get log(): Log {
    return this.#options.log;
  }

  /**
   * Runs a call to the images' file system. If that file system hangs, only a few threads of libuv's pool are blocked.
   */
  onImages<T>(call: () => Promise<T>): Promise<T> {
    return this.#disks.onImages(call);
  }

  /** The same for the containers' file system. */
  onContainers<T>(call: () => Promise<T>): Promise<T> {
    return this.#disks.onContainers(call);
  }

  /** Creates the directories. Called before anything is written; cheap after the first success. */
  async prepare(): Promise<void> {
    await this.directories.ofImages();
    await this.directories.ofContainers();
  }

  /**
   * Ends processes of an earlier daemon that could still mount. Must be called before mounts are read or made; it works
   * once. The owner of a store holds the lock of its root.
   */
  takeOver(): Promise<void> {
    this.#takenOver ??= (this.driver.takeOver?.() ?? Promise.resolve()).catch((error: unknown) => {
      this.#takenOver = undefined;
      throw error;
    });
    return this.#takenOver;
  }

  /** The layer's record in our own store; undefined if the layer is missing or incomplete (F27, F28). */
  async record(diffId: Digest): Promise<LayerRecord | undefined> {
    const record = await readLayerRecord(layerDir(this.paths, diffId), diffId, (call) => this.onImages(call));
    if (record === undefined) this.mountable.forget(diffId);
    return record;
  }

  /** Finds the layer in our own store or in a read-only one. */
  async find(diffId: Digest): Promise<FoundLayer | undefined> {
    const record = await this.record(diffId);
    return record === undefined ? this.#others.find(diffId) : { record, paths: this.paths, isOwn: true };
  }

  /**
   * A directory with the layer's files, with whiteouts in overlayfs's form; undefined if the layer is not in a store.
   */
  async treeOf(diffId: Digest): Promise<string | undefined> {
    const found = await this.find(diffId);
    if (found === undefined) return undefined;
    const layer: StoredLayer = {
      diffId,
      dir: layerDir(found.paths, diffId),
      layers: found.paths.layers,
      isOwn: found.isOwn,
    };
    return (await this.driver.treeOf?.(layer)) ?? layerDiff(found.paths, diffId);
  }

  /**
   * Makes sure that the layer is in a store: it is there already, a running download of it succeeds, or `download`
   * does. A second download is started if the running one is another party's and slow. When the caller aborts, it
   * rejects at once, and the download continues for other callers. Returns the layer's record.
   */
  async ensure(layer: WantedLayer, caller: Caller, download: Download): Promise<LayerRecord> {
    const stored = this.#flights.has(layer.diffId) ? undefined : await this.find(layer.diffId);
    if (stored !== undefined) return stored.record;
    caller.signal.throwIfAborted();
    const { party = NO_PARTY } = layer;
    const request = { key: layer.diffId, party: JSON.stringify(party), source: party.host };
    await this.#flights.join(request, caller, (...flight) => this.#take(layer, download, ...flight));
    const added = await this.find(layer.diffId);
    return (
      added?.record ??
      fail('outside', `store layer ${layer.diffId}: it was removed again by another request`, {
        subject: layer.diffId,
        retryable: true,
      })
    );
  }

  /**
   * Deletes the layer. When it resolves, the layer is no longer in the store; its files are deleted in the background.
   */
  async remove(diffId: Digest): Promise<void> {
    await this.#locks.with(diffId, async () => {
      await this.driver.removingLayer?.(this.#own(diffId));
      await this.discard(layerDir(this.paths, diffId));
      this.#imagesSweep.clear(layerDir(this.paths, diffId));
    });
  }

  /** Layers in read-only stores. */
  listOthers(): Promise<ListedLayers> {
    return this.#others.list();
  }

  /** Roots of read-only stores that cannot be read at present: a layer that was not found may be there. */
  get unreadStores(): readonly string[] {
    return this.#others.unread;
  }

  /** Records of all complete layers in our own store. */
  readonly list = async (): Promise<readonly LayerRecord[]> => (await this.scan()).records;

  /** The same, and layers whose records cannot be read (EIO). These must not be treated as missing. */
  async scan(): Promise<{
    readonly records: readonly LayerRecord[];
    readonly unreadable: readonly Digest[];
  }> {
    const records: LayerRecord[] = [];
    const unreadable: Digest[] = [];
    await this.eachLayer(async (diffId) => {
      try {
        const record = await this.record(diffId);
        if (record !== undefined) records.push(record);
      } catch (error) {
        unreadable.push(diffId);
        this.#imagesSweep.report(layerDir(this.paths, diffId), toFault(error).message);
      }
    });
    return { records, unreadable };
  }

  /** Lets the driver clean up after an earlier daemon; works once. */
  recover(): Promise<void> {
    this.#recovered ??= (this.driver.recover?.() ?? Promise.resolve()).catch((error: unknown) => {
      this.#recovered = undefined;
      throw error;
    });
    return this.#recovered;
  }

  /**
   * Deletes leftovers of earlier daemons and layers without a valid record. Resolves when all was tried; failures are
   * reported.
   */
  async removePartials(): Promise<void> {
    // in parallel: a disk that hangs must not delay the other one's trash
    await Promise.all([this.#imagesSweep.run(), this.#containersSweep?.run()]);
  }

  /** Moves a layer directory without a valid record to the trash. */
  async #setAsideIfIncomplete(diffId: Digest): Promise<void> {
    await this.#locks.with(diffId, async () => {
      if ((await this.record(diffId)) === undefined)
        await this.onImages(() => rename(layerDir(this.paths, diffId), this.#disks.images.trash.fresh()));
    });
  }

  /** Moves a directory of the store to the trash, to be deleted in the background. Succeeds if it does not exist. */
  async discard(path: string, known?: readonly KnownEntry[]): Promise<void> {
    await this.#disks.discard(path, known);
    const diffId = layerOf(this.paths, path);
    if (diffId !== undefined) this.mountable.forget(diffId);
  }

  /** Measures trees in a worker; all of them must be of images, or all of containers. */
  measure(paths: readonly string[]): Promise<readonly Measured[]> {
    return this.#disks.measure(paths);
  }

  /** Number of running worker threads. */
  get workers(): number {
    return this.#disks.workers;
  }

  /** Resolves when all running deletions are done. */
  async settled(): Promise<void> {
    await Promise.all([this.#imagesSweep.settled(), this.#containersSweep?.settled()]);
    await this.#disks.settled();
  }

  /** Stops deletions and idle workers; busy workers exit after their jobs. */
  close(): void {
    this.#disks.close();
  }

  #own(diffId: Digest): StoredLayer {
    return { diffId, dir: layerDir(this.paths, diffId), layers: this.paths.layers, isOwn: true };
  }

  async #take(
    { party = NO_PARTY, ...layer }: WantedLayer,
    download: Download,
    signal: AbortSignal,
    onBytes: (bytes: number) => void,
    downloaded: () => void,
  ): Promise<void> {
    const { diffId } = layer;
    await this.prepare();
    await this.#transfers.with(
      party,
      async (turn) => {
        if ((await this.record(diffId)) !== undefined) return;
        const commit = (publish: () => Promise<LayerRecord>): Promise<LayerRecord> => {
          downloaded();
          return turn.local(() => this.#commit(diffId, publish, turn.signal));
        };
        const local = <T>(work: () => Promise<T>): Promise<T> => turn.local(work);
        const intake: IntakeOptions = { ...this.#intake(layer), commit, local };
        await takeLayer(intake, counted(download, turn, onBytes), turn.signal);
      },
      signal,
    );
  }

  /** Publishes the layer under its lock, unless another download has stored it meanwhile. */
  #commit(diffId: Digest, publish: () => Promise<LayerRecord>, signal: AbortSignal): Promise<LayerRecord> {
    return this.#locks.with(
      diffId,
      async () => {
        const stored = await this.record(diffId);
        if (stored !== undefined) return stored;
        // a layer directory without a record may be incomplete: replace it
        await this.discard(layerDir(this.paths, diffId));
        const record = await publish();
        await this.driver.layerAdded?.(this.#own(diffId));
        return record;
      },
      signal,
    );
  }

  #intake(layer: Omit<WantedLayer, 'party'>): Omit<IntakeOptions, 'commit' | 'local'> {
    const options = this.#options;
    return {
      pool: this.#disks.images.pool,
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
        options.log.warn(
          { diffId: job.diffId, partial: job.partial },
          'partially unpacked layer was left behind; deleting it in the background',
        );
        this.#disks.images.trash.later(join(this.paths.partial, job.partial));
      },
    };
  }

  /** Calls `work` for each layer directory, a bounded number at a time. */
  async eachLayer(work: (diffId: Digest) => Promise<void>): Promise<void> {
    const diffIds = (await this.onImages(() => namesIn(this.paths.layers))).flatMap(
      (name) => parseDigest(`sha256:${name}`) ?? [],
    );
    for (let at = 0; at < diffIds.length; at += storageLimits.parallelReads) {
      await Promise.all(diffIds.slice(at, at + storageLimits.parallelReads).map(work));
    }
  }
}
