/**
 * The disks of a store: that of the images and that of the containers, which may be one. Each has its own way to its file
 * system, its own workers and its own trash: one that does not answer holds up no work on the other.
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
import type { Measured } from '../../trees/tree-measure.ts';
import { WorkerPool } from './workers/worker-pool.ts';
import type { PoolOptions } from './workers/worker-pool.ts';

export interface DisksOptions {
  readonly paths: StorePaths;
  readonly clock: ClockPort;
  readonly log: Log;
  readonly conditions: DebrisReport;
  readonly onMoved: (moved: Degradation) => void;
  /** Fresh names in a trash. */
  readonly newName: () => string;
  /** ms after which a worker that has nothing to do ends; the built-in time where it is undefined. */
  readonly workerIdleMs: number | undefined;
  /** Of the workers, what a test has otherwise. */
  readonly workerPool: Pick<PoolOptions, 'workers' | 'program'> | undefined;
}

export interface Disk {
  readonly pool: WorkerPool;
  readonly trash: Trash;
}

export class StoreDisks {
  readonly images: Disk;
  /** The same one where images have no root of their own. */
  readonly containers: Disk;
  readonly directories: StoreDirectories;
  readonly #paths: StorePaths;

  constructor({ paths, clock, log, conditions, onMoved, newName, workerIdleMs, workerPool }: DisksOptions) {
    this.#paths = paths;
    const newDisk = (directory: string, gate: Trash['gate']): Disk => {
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

  /** One call to the file system of the images: a dead one holds a few threads of libuv's pool and no more. */
  onImages<T>(call: () => Promise<T>): Promise<T> {
    return inPool(this.#paths.root, call);
  }

  /** The same for that of the containers. */
  onContainers<T>(call: () => Promise<T>): Promise<T> {
    return inPool(this.#paths.containersRoot, call);
  }

  /** Takes a directory of the store away from its place, at once, and deletes it in the background. Succeeds when it is gone. */
  async discard(path: string): Promise<void> {
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
    trash.later(name);
  }

  /** Disk use of each tree, all of them of images or all of containers, counted in a worker. */
  async measure(paths: readonly string[]): Promise<readonly Measured[]> {
    const isContainers = paths.every((path) => path.startsWith(this.#paths.containers));
    const result = await (isContainers ? this.containers : this.images).pool.start({ kind: 'measure', paths })
      .result;
    return result.kind === 'measure'
      ? result.sizes
      : fail('bug', `measure trees: the worker answered ${result.kind}`);
  }

  /** Worker threads that are there now. */
  get workers(): number {
    return this.isOne ? this.images.pool.size : this.images.pool.size + this.containers.pool.size;
  }

  /** Settles when the deletions that are under way are done. */
  async settled(): Promise<void> {
    await Promise.all([this.images.trash.settled(), this.containers.trash.settled()]);
  }

  /** Ends deletions and the workers that have nothing to do; the others end after their jobs. */
  close(): void {
    this.images.trash.close();
    this.containers.trash.close();
    this.images.pool.close();
    this.containers.pool.close();
  }
}
