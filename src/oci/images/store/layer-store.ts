/** Layers by diff-id: taken in whole and durable or not at all, listed, deleted, repaired. */
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort } from '../../../ports/clock.ts';
import { KeyedMutex } from '../../../base/bounded.ts';
import { Conditions } from '../../../base/conditions.ts';
import { fail, toFault } from '../../../base/fault.ts';
import type { Digest } from '../../../base/ids.ts';
import { parseDigest } from '../../../base/ids.ts';
import type { DebrisReport } from '../../../base/left-debris.ts';
import { storageLimits, unpackLimits } from '../../bounds.ts';
import type { Log } from '../../../base/log.ts';
import { counted } from './counted-download.ts';
import { overlayDriver } from './drivers/overlay.ts';
import type { DriverHost, RootfsDriver, StoredLayer } from './drivers/rootfs-driver.ts';
import { Flights } from './single-flight.ts';
import type { Passenger } from './single-flight.ts';
import { takeLayer } from './layer-intake.ts';
import type { Download, IntakeOptions } from './layer-intake.ts';
import { layerDiff, layerDir, storePaths } from './records/layer-layout.ts';
import type { StorePaths } from './records/layer-layout.ts';
import { readLayerRecord } from './records/layer-record.ts';
import type { LayerRecord } from './records/layer-record.ts';
import type { LayerStoreOptions } from './layer-store-options.ts';
import { namesIn } from './records/names-in.ts';
import { OtherStores } from './other-stores.ts';
import type { FoundLayer, ListedLayers } from './other-stores.ts';
import type { StoreDirectories } from './records/store-directories.ts';
import { StoreDisks } from './store-disks.ts';
import { DiskSweep } from './sweep-debris.ts';
import { Transfers } from './transfers.ts';
import type { Party } from './transfers.ts';
import type { Measured } from '../../trees/tree-measure.ts';
import type { UnpackJob } from './workers/worker-protocol.ts';

/** A layer that is to be there. */
export interface WantedLayer extends Pick<UnpackJob, 'diffId' | 'blobDigest' | 'file'> {
  /** Where it comes from and for whom; left out for nobody in particular. */
  readonly party?: Party;
}

const NOBODY: Party = { host: '', namespace: '', credential: '' };
/** Bytes of a fresh name below partial and trash. */
const NAME_BYTES = 16;

export class LayerStore {
  readonly paths: StorePaths;
  readonly driver: RootfsDriver;
  readonly directories: StoreDirectories;
  readonly #options: LayerStoreOptions;
  readonly #others: OtherStores;
  readonly #disks: StoreDisks;
  readonly #flights: Flights;
  readonly #locks = new KeyedMutex('layer', storageLimits.layerWaiting);
  readonly #transfers: Transfers;
  /** Where what is not as it should be is reported. */
  readonly conditions: DebrisReport;
  readonly #imagesSweep: DiskSweep;
  /** Undefined where images have no root of their own. */
  readonly #containersSweep: DiskSweep | undefined;
  /** Names below partial that belong to unpackings of this process. */
  readonly #active = new Set<string>();
  #takenOver: Promise<void> | undefined;
  #recovered: Promise<void> | undefined;

  constructor(options: LayerStoreOptions) {
    this.#options = options;
    this.paths = storePaths(options.root, options.containersRoot);
    this.#flights = new Flights(options.clock);
    const { transfers = storageLimits.transfers, transfersPerSource = storageLimits.transfersPerSource } =
      options;
    this.#transfers = new Transfers({
      clock: options.clock,
      slots: transfers,
      slotsPerHost: transfersPerSource,
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
      setAside: (diffId: Digest) => this.#setAsideUnlessWhole(diffId),
    };
    this.#imagesSweep = new DiskSweep(
      { ...sweep, disks: disks.isOne ? 'both' : 'images' },
      disks.images.trash,
    );
    this.#containersSweep = disks.isOne
      ? undefined
      : new DiskSweep({ ...sweep, disks: 'containers' }, disks.containers.trash);
    const make =
      options.driver ?? ((host: DriverHost) => overlayDriver(host, { metacopy: false, isVolatile: true }));
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

  /** One call to the file system of the images: a dead one holds a few threads of libuv's pool and no more. */
  onImages<T>(call: () => Promise<T>): Promise<T> {
    return this.#disks.onImages(call);
  }

  /** The same for that of the containers. */
  onContainers<T>(call: () => Promise<T>): Promise<T> {
    return this.#disks.onContainers(call);
  }

  /** Makes the directories; called by everything that writes images, and cheap after the first time. */
  async prepare(): Promise<void> {
    await this.directories.ofImages();
    await this.directories.ofContainers();
  }

  /**
   * Ends what an earlier process was making mounts with; called before each look at mounts, and at work once. Whoever has
   * a store has the lock of its root.
   */
  takeOver(): Promise<void> {
    this.#takenOver ??= (this.driver.takeOver?.() ?? Promise.resolve()).catch((error: unknown) => {
      this.#takenOver = undefined;
      throw error;
    });
    return this.#takenOver;
  }

  /** The layer's record in our own store, or undefined when it is not there whole (F27, F28). */
  record(diffId: Digest): Promise<LayerRecord | undefined> {
    return readLayerRecord(layerDir(this.paths, diffId), diffId, (call) => this.onImages(call));
  }

  /** The layer, in our own store or in another one that is only read. */
  async find(diffId: Digest): Promise<FoundLayer | undefined> {
    const record = await this.record(diffId);
    return record === undefined ? this.#others.find(diffId) : { record, paths: this.paths, isOwn: true };
  }

  /** A directory in which the layer's files can be read, whiteouts as overlayfs has them; undefined when it is not here. */
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
   * Makes sure that the layer is there: from the store, from a download that is under way already, or by `download`, also
   * beside others that are under way for other parties and slow.
   * The caller's abort rejects at once; the download goes on for others. Gives the layer's record, whoever brought it.
   */
  async ensure(layer: WantedLayer, passenger: Passenger, download: Download): Promise<LayerRecord> {
    const here = this.#flights.has(layer.diffId) ? undefined : await this.find(layer.diffId);
    if (here !== undefined) return here.record;
    passenger.signal.throwIfAborted();
    const { party = NOBODY } = layer;
    const wish = { key: layer.diffId, party: JSON.stringify(party), source: party.host };
    await this.#flights.join(wish, passenger, (...flight) => this.#take(layer, download, ...flight));
    const come = await this.find(layer.diffId);
    return (
      come?.record ??
      fail('outside', `take in layer ${layer.diffId}: it was removed again`, {
        subject: layer.diffId,
        retryable: true,
      })
    );
  }

  /** Deletes the layer; its name is gone when this settles, its files a little later. */
  async remove(diffId: Digest): Promise<void> {
    await this.#locks.with(diffId, async () => {
      await this.driver.layerGoing?.(this.#own(diffId));
      await this.discard(layerDir(this.paths, diffId));
      this.#imagesSweep.clear(layerDir(this.paths, diffId));
    });
  }

  /** Layers in other stores that are only read. */
  listOthers(): Promise<ListedLayers> {
    return this.#others.list();
  }

  /** Roots of other stores that can't be read now: a layer that is not found may be there. */
  get unreadStores(): readonly string[] {
    return this.#others.unread;
  }

  /** Records of all layers of our own that are whole. */
  readonly list = async (): Promise<readonly LayerRecord[]> => (await this.look()).records;

  /** The same, and the layers of which the disk does not say whether they are (EIO): nobody may take them for gone. */
  async look(): Promise<{
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

  /** What a driver undoes of an earlier process; once. */
  recover(): Promise<void> {
    this.#recovered ??= (this.driver.recover?.() ?? Promise.resolve()).catch((error: unknown) => {
      this.#recovered = undefined;
      throw error;
    });
    return this.#recovered;
  }

  /** Deletes what earlier runs left, and layers without a good record. Settles when all was tried; failures are reported. */
  async removePartials(): Promise<void> {
    // one disk that does not answer must not keep the other's trash
    await Promise.all([this.#imagesSweep.run(), this.#containersSweep?.run()]);
  }

  /** A layer directory without a good record goes to the trash. */
  async #setAsideUnlessWhole(diffId: Digest): Promise<void> {
    await this.#locks.with(diffId, async () => {
      if ((await this.record(diffId)) === undefined)
        await this.onImages(() => rename(layerDir(this.paths, diffId), this.#disks.images.trash.fresh()));
    });
  }

  /** Takes a directory of the store away from its place, at once, and deletes it in the background. Succeeds when it is gone. */
  discard(path: string): Promise<void> {
    return this.#disks.discard(path);
  }

  /** Disk use of each tree, all of them of images or all of containers, counted in a worker. */
  measure(paths: readonly string[]): Promise<readonly Measured[]> {
    return this.#disks.measure(paths);
  }

  /** Worker threads that are there now. */
  get workers(): number {
    return this.#disks.workers;
  }

  /** Settles when the deletions that are under way are done. */
  async settled(): Promise<void> {
    await Promise.all([this.#imagesSweep.settled(), this.#containersSweep?.settled()]);
    await this.#disks.settled();
  }

  /** Ends deletions and the workers that have nothing to do; the others end after their jobs. */
  close(): void {
    this.#disks.close();
  }

  #own(diffId: Digest): StoredLayer {
    return { diffId, dir: layerDir(this.paths, diffId), layers: this.paths.layers, isOwn: true };
  }

  async #take(
    { party = NOBODY, ...layer }: WantedLayer,
    download: Download,
    signal: AbortSignal,
    onBytes: (bytes: number) => void,
    arrived: () => void,
  ): Promise<void> {
    const { diffId } = layer;
    await this.prepare();
    await this.#transfers.with(
      party,
      async (turn) => {
        if ((await this.record(diffId)) !== undefined) return;
        const commit = (publish: () => Promise<LayerRecord>): Promise<LayerRecord> => {
          arrived();
          return turn.ours(() => this.#commit(diffId, publish, turn.signal));
        };
        const ours = <T>(work: () => Promise<T>): Promise<T> => turn.ours(work);
        const intake: IntakeOptions = { ...this.#intake(layer), commit, ours };
        await takeLayer(intake, counted(download, turn, onBytes), turn.signal);
      },
      signal,
    );
  }

  /** One at a time for a layer: the same may have come from elsewhere meanwhile. */
  #commit(diffId: Digest, publish: () => Promise<LayerRecord>, signal: AbortSignal): Promise<LayerRecord> {
    return this.#locks.with(
      diffId,
      async () => {
        const here = await this.record(diffId);
        if (here !== undefined) return here;
        // a layer directory without its record: what is in it can't be trusted
        await this.discard(layerDir(this.paths, diffId));
        const record = await publish();
        await this.driver.layerAdded?.(this.#own(diffId));
        return record;
      },
      signal,
    );
  }

  #intake(layer: Omit<WantedLayer, 'party'>): Omit<IntakeOptions, 'commit' | 'ours'> {
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
          'a layer that was given up is left half unpacked',
        );
        this.#disks.images.trash.later(join(this.paths.partial, job.partial));
      },
    };
  }

  /** Names of layers, a few at once. */
  async eachLayer(work: (diffId: Digest) => Promise<void>): Promise<void> {
    const diffIds = (await this.onImages(() => namesIn(this.paths.layers))).flatMap(
      (name) => parseDigest(`sha256:${name}`) ?? [],
    );
    for (let at = 0; at < diffIds.length; at += storageLimits.parallelReads) {
      await Promise.all(diffIds.slice(at, at + storageLimits.parallelReads).map(work));
    }
  }
}
