/**
 * One trash: directories that were renamed away, deleted in the background. Each goes on its own, and what can't be deleted
 * keeps nobody waiting: it is reported as a condition and tried again with the next `empty`.
 */
import { join } from 'node:path';
import type { ClockPort } from '../../actors/ports/clock.ts';
import { Semaphore } from '../../base/bounded.ts';
import type { Conditions } from '../../base/conditions.ts';
import { toFault } from '../../base/fault.ts';
import { storageLimits } from '../../base/limits.ts';
import type { Log } from '../../base/log.ts';
import { removeSmallTree } from './small-tree.ts';
import type { RunningJob, WorkerPool } from './worker-pool.ts';
import type { Job, JobResult } from './worker-protocol.ts';

/** Where what can't be deleted is reported. */
export type DebrisReport = Pick<Conditions, 'report' | 'clear'>;

export interface TrashOptions {
  /** The trash; the directory that it is in may be on another disk than that of another trash. */
  readonly directory: string;
  readonly pool: WorkerPool;
  /** Through which each call to its file system goes. */
  readonly gate: <T>(call: () => Promise<T>) => Promise<T>;
  readonly newName: () => string;
  readonly clock: ClockPort;
  readonly log: Log;
  readonly conditions: DebrisReport;
}

export class Trash {
  readonly directory: string;
  readonly gate: TrashOptions['gate'];
  readonly #options: TrashOptions;
  readonly #deletions = new Semaphore('deletions', storageLimits.deletions, storageLimits.deletionsWaiting);
  readonly #background = new Set<Promise<void>>();
  readonly #jobs = new Set<RunningJob>();
  /** Paths that are reported as not deleted. */
  readonly #left = new Set<string>();
  #emptying: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: TrashOptions) {
    this.#options = options;
    this.directory = options.directory;
    this.gate = options.gate;
  }

  /** A fresh path in it, for a rename. */
  fresh(): string {
    return join(this.directory, this.#options.newName());
  }

  /** Deletes one path of it, or a directory that nobody uses any more, in the background. */
  later(path: string): void {
    const deleted = this.#deletions
      .with(() => this.#remove(path))
      .catch((error: unknown) => {
        this.#keep(path, toFault(error).message);
      })
      .finally(() => {
        this.#background.delete(deleted);
      });
    this.#background.add(deleted);
  }

  /** Deletes all that lies in it; callers share one run. Never rejects. */
  empty(): Promise<void> {
    this.#emptying ??= this.#empty()
      .catch((error: unknown) => {
        this.#keep(this.directory, toFault(error).message);
      })
      .finally(() => {
        this.#emptying = undefined;
      });
    return this.#emptying;
  }

  /** Settles when the deletions that are under way are done. */
  async settled(): Promise<void> {
    while (this.#background.size > 0 || this.#emptying !== undefined) await Promise.all([...this.#background, this.#emptying]);
  }

  /** Ends what is under way; the rest stays for the next start. */
  close(): void {
    this.#isClosed = true;
    for (const job of this.#jobs) job.cancel();
  }

  async #remove(path: string): Promise<void> {
    const { log } = this.#options;
    if (this.#isClosed) return;
    if (!(await this.gate(() => removeSmallTree(path, storageLimits.smallTreeEntries)))) {
      const result = await this.#run({ kind: 'remove', path });
      if (result.kind !== 'remove') return;
      const { entries, freedBytes, failures, failed } = result.removal;
      log.debug({ path, entries, freedBytes }, 'directory in the trash deleted');
      if (failed > 0) {
        this.#keep(path, reasonOf(failures, failed));
        return;
      }
    }
    this.#forget(path);
  }

  async #empty(): Promise<void> {
    const { clock, log } = this.#options;
    const startMs = clock.monoMs();
    const result = await this.#run({ kind: 'empty', directory: this.directory });
    if (result.kind !== 'empty') return;
    const { entries, freedBytes, kept } = result;
    if (entries > 0) log.info({ directory: this.directory, entries, freedBytes, ms: Math.round(clock.monoMs() - startMs) }, 'trash emptied');
    const now = new Map(kept.map(({ name, failures, failed }) => [join(this.directory, name), reasonOf(failures, failed)]));
    for (const path of this.#left) if (!now.has(path)) this.#forget(path);
    for (const [path, reason] of now) this.#keep(path, reason);
  }

  async #run(job: Job): Promise<JobResult> {
    const running = this.#options.pool.start(job);
    this.#jobs.add(running);
    try {
      return await running.result;
    } finally {
      this.#jobs.delete(running);
    }
  }

  #keep(path: string, reason: string): void {
    // a deletion that our own end has cut
    if (this.#isClosed) return;
    this.#left.add(path);
    this.#options.conditions.report({ type: 'DebrisRemoved', subject: path, reason });
  }

  #forget(path: string): void {
    if (this.#left.delete(path)) this.#options.conditions.clear('DebrisRemoved', path);
  }
}

function reasonOf(failures: readonly string[], failed: number): string {
  const more = failed - failures.length;
  return `${failures.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}
