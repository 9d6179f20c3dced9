/** What earlier processes left in a store: set aside into the trash, which is then emptied. Every step on its own. */
import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { LeftDebris } from '../../../base/left-debris.ts';
import type { DebrisReport, DebrisRound } from '../../../base/left-debris.ts';
import type { Digest } from '../../../base/ids.ts';
import { storageLimits } from '../../bounds.ts';
import { missingAs } from '../../../host/ffi/errno.ts';
import { layerDir } from './records/layer-layout.ts';
import type { StorePaths } from './records/layer-layout.ts';
import type { StoreDirectories } from './records/store-directories.ts';
import type { Trash } from './trash.ts';

/** What a sweep needs of the store that it sweeps. */
export interface SweptStore {
  readonly paths: StorePaths;
  readonly directories: StoreDirectories;
  takeOver(): Promise<void>;
  eachLayer(visit: (diffId: Digest) => Promise<void>): Promise<void>;
  recover(): Promise<void>;
}

export interface SweepOptions {
  readonly store: SweptStore;
  /** Whose disk it is; `both` where there is one. */
  readonly disks: 'both' | 'images' | 'containers';
  readonly conditions: DebrisReport;
  /** The name below `partial/` belongs to an unpacking of this process. */
  readonly isActive: (partial: string) => boolean;
  /** Moves a layer without a good record to the trash. */
  readonly setAside: (diffId: Digest) => Promise<void>;
}

/** The rounds over one disk of a store. */
export class DiskSweep {
  readonly #options: SweepOptions;
  readonly #trash: Trash;
  readonly #left: LeftDebris;
  #running: Promise<void> | undefined;

  /** `trash`: the one of that disk. */
  constructor(options: SweepOptions, trash: Trash) {
    this.#options = options;
    this.#trash = trash;
    this.#left = new LeftDebris(options.conditions);
  }

  /** Settles when all was tried, never rejects: what fails is reported and keeps no other step from its turn. Callers share one run. */
  run(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Settles when the run that is under way is over. */
  async settled(): Promise<void> {
    await this.#running;
  }

  /** What a reader of the store found that it can't read. */
  report(path: string, reason: string): void {
    this.#left.report(path, reason);
  }

  /** It was removed, whatever was wrong with it. */
  clear(path: string): void {
    this.#left.clear(path);
  }

  async #run(): Promise<void> {
    const {
      store: { paths, directories },
      disks,
    } = this.#options;
    const round = this.#left.round();
    if (disks !== 'containers') await round.attempt(paths.root, () => directories.ofImages());
    if (disks !== 'images') await this.#takeOver(round);
    if (disks !== 'containers') await this.#setAsideLeftovers(round);
    await this.#trash.empty();
    round.end();
  }

  async #takeOver(round: DebrisRound): Promise<void> {
    const { store } = this.#options;
    const { containersRoot, containers } = store.paths;
    await round.attempt(containersRoot, () => store.directories.ofContainers());
    await round.attempt(containers, () => store.takeOver());
  }

  async #setAsideLeftovers(round: DebrisRound): Promise<void> {
    const { store, isActive, setAside } = this.#options;
    const { layers, chains, partial, ingest } = store.paths;
    const setOneAside = async (diffId: Digest): Promise<void> => {
      await round.attempt(layerDir(store.paths, diffId), () => setAside(diffId));
    };
    await round.attempt(layers, () => store.eachLayer(setOneAside));
    await round.attempt(chains, () => store.recover());
    await this.#setAsideEach(round, partial, (name) => !isActive(name));
    // beginnings of blobs are the janitor's, by what is still wanted of them
    await this.#setAsideEach(round, ingest, (name) => !/^[0-9a-f]{64}/u.test(name));
  }

  /** Entries by their bytes: what is not UTF-8 has no other name. */
  async #setAsideEach(
    round: DebrisRound,
    directory: string,
    isDebris: (name: string) => boolean,
  ): Promise<void> {
    const trash = this.#trash;
    await round.attempt(directory, async () => {
      const names = await trash.gate(() => missingAs(readdir(directory, { encoding: 'buffer' }), []));
      for (const name of names.slice(0, storageLimits.dirEntries)) {
        if (!isDebris(name.toString())) continue;
        const path = Buffer.concat([Buffer.from(`${directory}/`), name]);
        await round.attempt(join(directory, name.toString()), () =>
          trash.gate(() => rename(path, trash.fresh())),
        );
      }
    });
  }
}
