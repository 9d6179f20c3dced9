/**
 * The disks of a store: one for images and one for containers, or one for both. Each has its own share of libuv's pool,
 * its own workers and its own trash, so that a disk that hangs does not delay work on the other.
 */
import { rename } from 'node:fs/promises';
import type { ClockPort } from '../../../ports/clock.ts';
import type { Degradation } from '../../../base/conditions.ts';
import { fail } from '../../../base/fault.ts';
import type { DebrisReport } from '../../../base/left-debris.ts';
import type { Log } from '../../../base/log.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { inPool } from '../../../host/ffi/pool.ts';
import type { StorePaths } from './records/layer-layout.ts';
import { storeDirectories } from './records/store-directories.ts';
import type { StoreDirectories } from './records/store-directories.ts';
import { Trash } from './trash.ts';
import type { KnownEntry } from '../../trees/small-tree.ts';
import type { Measured } from '../../trees/tree-measure.ts';
import { WorkerPool } from './workers/worker-pool.ts';
import type { PoolOptions } from './workers/worker-pool.ts';

export interface DisksOptions {
  readonly paths: StorePaths;
  readonly clock: ClockPort;
  readonly log: Log;
  readonly conditions: DebrisReport;
  readonly onMoved: (moved: Degradation) => void;
  /** Creates new names in a trash. */
  readonly newName: () => string;
  /** ms after which an idle worker exits; undefined for the default. */
  readonly workerIdleMs: number | undefined;
  /** Replaces the worker program or the number of workers in tests. */
  readonly workerPool: Pick<PoolOptions, 'workers' | 'program'> | undefined;
}

export interface StoreDisk {
  readonly pool: WorkerPool;
  readonly trash: Trash;
}

export class StoreDisks {
  readonly images: StoreDisk;
  /** The same object as `images` if they share a root. */
  readonly containers: StoreDisk;
  readonly directories: StoreDirectories;
  readonly #paths: StorePaths;

  constructor({ paths, clock, log, conditions, onMoved, newName, workerIdleMs, workerPool }: DisksOptions) {
    this.#paths = paths;
    const newDisk = (directory: string, gate: Trash['gate']): StoreDisk => {
      const pool = new WorkerPool({
        clock,
        ...workerPool,
        ...(workerIdleMs === undefined ? {} : { idleMs: workerIdleMs }),
      });
      return { pool, trash: new Trash({ directory, pool, gate, clock, log, conditions, newName }) };
    };
    this.images = newDisk(paths.trash, (call) => this.onImages(call));
    this.containers =
      paths.containersRoot === paths.root
        ? this.images
        : newDisk(paths.containersTrash, (call) => this.onContainers(call));
    this.directories = storeDirectories(
      paths,
      (call) => this.onImages(call),
      (call) => this.onContainers(call),
      onMoved,
    );
  }

  get isOne(): boolean {
    return this.images === this.containers;
  }

  /**
   * Runs a call to the images' file system. If that file system hangs, only a few threads of libuv's pool are blocked.
   */
  onImages<T>(call: () => Promise<T>): Promise<T> {
    return inPool(this.#paths.root, call);
  }

  /** The same for the containers' file system. */
  onContainers<T>(call: () => Promise<T>): Promise<T> {
    return inPool(this.#paths.containersRoot, call);
  }

  /**
   * Moves a directory of the store to the trash, to be deleted in the background. Succeeds if it does not exist.
   * `known`: see `removeSmallTree`.
   */
  async discard(path: string, known?: readonly KnownEntry[]): Promise<void> {
    const isContainers = path.startsWith(`${this.#paths.containers}/`);
    await (isContainers ? this.directories.ofContainers() : this.directories.ofImages());
    const { trash } = isContainers ? this.containers : this.images;
    const name = trash.fresh();
    try {
      await trash.gate(() => rename(path, name));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return;
      throw error;
    }
    trash.later(name, known);
  }

  /** Measures trees in a worker; all of them must be of images, or all of containers. */
  async measure(paths: readonly string[]): Promise<readonly Measured[]> {
    const isContainers = paths.every((path) => path.startsWith(this.#paths.containers));
    const result = await (isContainers ? this.containers : this.images).pool.start({ kind: 'measure', paths })
      .result;
    return result.kind === 'measure'
      ? result.sizes
      : fail('bug', `measure trees: the worker answered ${result.kind}`);
  }

  /** Number of running worker threads. */
  get workers(): number {
    return this.isOne ? this.images.pool.size : this.images.pool.size + this.containers.pool.size;
  }

  /** Resolves when all running deletions are done. */
  async settled(): Promise<void> {
    await Promise.all([this.images.trash.settled(), this.containers.trash.settled()]);
  }

  /** Stops deletions and idle workers; busy workers exit after their jobs. */
  close(): void {
    this.images.trash.close();
    this.containers.trash.close();
    this.images.pool.close();
    this.containers.pool.close();
  }
}
