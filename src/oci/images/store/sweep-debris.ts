/**
 * Cleans up after earlier daemons: moves leftovers into the trash and empties it. A failed step does not stop the
 * others.
 */
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

/** The parts of a store that a sweep uses. */
export interface SweptStore {
  readonly paths: StorePaths;
  readonly directories: StoreDirectories;
  takeOver(): Promise<void>;
  eachLayer(visit: (diffId: Digest) => Promise<void>): Promise<void>;
  recover(): Promise<void>;
}

export interface SweepOptions {
  readonly store: SweptStore;
  /** What the disk contains. */
  readonly disks: 'both' | 'images' | 'containers';
  readonly conditions: DebrisReport;
  /** Whether a name below `partial/` belongs to a running job of this process. */
  readonly isActive: (partial: string) => boolean;
  /** Moves a layer to the trash if it has no valid record. */
  readonly setAside: (diffId: Digest) => Promise<void>;
}

/** Sweeps one disk of a store. */
export class DiskSweep {
  readonly #options: SweepOptions;
  readonly #trash: Trash;
  readonly #left: LeftDebris;
  #running: Promise<void> | undefined;

  /** @param trash the trash of that disk */
  constructor(options: SweepOptions, trash: Trash) {
    this.#options = options;
    this.#trash = trash;
    this.#left = new LeftDebris(options.conditions);
  }

  /**
   * Runs all steps. Never rejects: failures are reported and do not stop other steps. Concurrent callers share one run.
   */
  run(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Resolves when the current run is over. */
  async settled(): Promise<void> {
    await this.#running;
  }

  /** Reports a path of the store that could not be read. */
  report(path: string, reason: string): void {
    this.#left.report(path, reason);
  }

  /** Clears the report on a path that was removed. */
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
    // the janitor deletes ingest files that are no longer needed
    await this.#setAsideEach(round, ingest, (name) => !/^[0-9a-f]{64}/u.test(name));
  }

  /** Moves debris into the trash. Names are bytes, since they may not be UTF-8. */
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
