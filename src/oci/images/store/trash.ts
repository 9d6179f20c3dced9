/**
 * A trash directory: directories are moved into it and deleted in the background. What cannot be deleted is reported as
 * a condition and tried again at the next `empty`; it does not delay other deletions.
 */
import { opendir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort } from '../../../ports/clock.ts';
import { Semaphore } from '../../../base/bounded.ts';
import { fail, toFault } from '../../../base/fault.ts';
import { LeftDebris } from '../../../base/left-debris.ts';
import type { DebrisReport } from '../../../base/left-debris.ts';
import { storageLimits } from '../../bounds.ts';
import type { Log } from '../../../base/log.ts';
import { removeSmallTree } from '../../trees/small-tree.ts';
import type { KnownEntry } from '../../trees/small-tree.ts';
import { unmountBelow } from '../../trees/unmount-below.ts';
import type { Emptied } from '../../trees/tree-empty.ts';
import type { RunningJob, WorkerPool } from './workers/worker-pool.ts';
import type { WorkerJob, JobResult } from './workers/worker-protocol.ts';

export interface TrashOptions {
  /** Path of the trash. Each disk of a store has its own. */
  readonly directory: string;
  readonly pool: WorkerPool;
  /** Runs each call to the trash's file system. */
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
  readonly #left: LeftDebris;
  #emptying: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: TrashOptions) {
    this.#options = options;
    this.#left = new LeftDebris(reportWhile(() => !this.#isClosed, options.conditions));
    this.directory = options.directory;
    this.gate = options.gate;
  }

  /** A new path in the trash, as the target of a rename. */
  fresh(): string {
    return join(this.directory, this.#options.newName());
  }

  /** Deletes a path in the background. It must be in the trash or no longer in use. `known`: see `removeSmallTree`. */
  later(path: string, known?: readonly KnownEntry[]): void {
    const deleted = this.#deletions
      .with(() => this.#remove(path, known))
      .catch((error: unknown) => {
        this.#left.report(path, toFault(error).message);
      })
      .finally(() => {
        this.#background.delete(deleted);
      });
    this.#background.add(deleted);
  }

  /** Deletes everything in the trash. Concurrent callers share one run. Never rejects. */
  empty(): Promise<void> {
    this.#emptying ??= this.#empty().finally(() => {
      this.#emptying = undefined;
    });
    return this.#emptying;
  }

  /** Resolves when all running deletions are done. */
  async settled(): Promise<void> {
    while (this.#background.size > 0 || this.#emptying !== undefined)
      await Promise.all([...this.#background, this.#emptying]);
  }

  /** Stops running deletions; the rest stays until the next start. */
  close(): void {
    this.#isClosed = true;
    for (const job of this.#jobs) job.cancel();
  }

  async #remove(path: string, known?: readonly KnownEntry[]): Promise<void> {
    const { log } = this.#options;
    if (this.#isClosed) return;
    if (!(await this.gate(() => removeSmallTree(path, storageLimits.smallTreeEntries, known)))) {
      const result = await this.#run({ kind: 'remove', path });
      if (result.kind !== 'remove') return;
      const { entries, freedBytes, failures, failed } = result.removal;
      log.debug({ path, entries, freedBytes }, 'deleted directory in trash');
      if (failed > 0) {
        this.#left.report(path, reasonOf(failures, failed));
        return;
      }
    }
    this.#left.clear(path);
  }

  async #empty(): Promise<void> {
    const { directory } = this;
    const round = this.#left.round();
    await round.attempt(directory, async () => {
      // unmount by mountinfo first: the worker recognises a mount when it opens it, which fails if a FUSE program has
      // died
      const [unmounted] = await Promise.allSettled([this.gate(() => realpath(directory)).then(unmountBelow)]);
      if (await this.gate(() => isEmpty(directory))) {
        if (unmounted.status === 'rejected') throw unmounted.reason;
        return;
      }
      const { kept, problem } = await this.#emptyOnce();
      for (const { name, failures, failed } of kept)
        round.failed(join(directory, name), reasonOf(failures, failed));
      if (problem !== undefined) fail('outside', problem, { subject: directory });
      if (unmounted.status === 'rejected') throw unmounted.reason;
    });
    round.end();
  }

  async #emptyOnce(): Promise<Emptied> {
    const { clock, log } = this.#options;
    const startMs = clock.monoMs();
    const result = await this.#run({ kind: 'empty', directory: this.directory });
    if (result.kind !== 'empty')
      return fail('bug', `empty ${this.directory}: the worker answered ${result.kind}`);
    const { entries, freedBytes } = result;
    if (entries > 0)
      log.info(
        { directory: this.directory, entries, freedBytes, ms: Math.round(clock.monoMs() - startMs) },
        'emptied trash',
      );
    return result;
  }

  async #run(job: WorkerJob): Promise<JobResult> {
    const running = this.#options.pool.start(job);
    this.#jobs.add(running);
    try {
      return await running.result;
    } finally {
      this.#jobs.delete(running);
    }
  }
}

/** Drops reports after `close`: a deletion that was stopped by it is not a failure. */
function reportWhile(isOpen: () => boolean, conditions: DebrisReport): DebrisReport {
  return {
    report: (degradation) => {
      if (isOpen()) conditions.report(degradation);
    },
    clear: (type, subject) => conditions.clear(type, subject),
  };
}

function reasonOf(failures: readonly string[], failed: number): string {
  const more = failed - failures.length;
  return `${failures.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}

/**
 * Whether the directory has no entry, as at most starts: a worker takes a sixth of the processor time of a start. If it
 * can't be read, the worker reports why.
 */
async function isEmpty(directory: string): Promise<boolean> {
  try {
    await using entries = await opendir(directory, { bufferSize: 1 });
    return (await entries.read()) === null;
  } catch {
    return false;
  }
}
