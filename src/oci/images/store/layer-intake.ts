/** The main thread's part of unpacking a layer: passes the bytes of a download to a worker. */
import type { ClockPort } from '../../../ports/clock.ts';
import { onAbort } from '../../../base/abort.ts';
import { FaultError, fail } from '../../../base/fault.ts';
import { storageLimits } from '../../bounds.ts';
import type { LayerRecord } from './records/layer-record.ts';
import type { RunningJob, StartJob, WorkerPool } from './workers/worker-pool.ts';
import type { UnpackJob } from './workers/worker-protocol.ts';

/** Where a download writes to; has the shape of the registry client's sink. */
export interface LayerSink {
  write(piece: Uint8Array): Promise<void>;
  /** Discards what was written: the blob is sent again from the start. */
  restart(): Promise<void>;
}

/** Writes the whole blob to the sink and verifies its digest, or rejects. */
export type Download = (sink: LayerSink, signal: AbortSignal) => Promise<void>;

export interface IntakeOptions {
  readonly pool: Pick<WorkerPool, 'start' | 'apart'>;
  readonly clock: ClockPort;
  /** Creates a job with a new name at each call. */
  newJob(): UnpackJob;
  /** Makes the layer visible by calling `publish`, or returns the record if the layer exists meanwhile. */
  commit(publish: () => Promise<LayerRecord>): Promise<LayerRecord>;
  /** Runs work of this node, whose time does not count as the registry's (`Turn.local`). Must not be nested. */
  local<T>(work: () => Promise<T>): Promise<T>;
  /** Called at the end of each job. `isClean`: the job has left no files. */
  onEnd(job: UnpackJob, isClean: boolean): void;
}

/**
 * Downloads and unpacks a layer. When it resolves, the layer is complete and durable; when it rejects, nothing of it is
 * left. If a worker crashes while it unpacks several layers, each is unpacked once more in a separate worker, since
 * another layer may have caused the crash (S90).
 */
export async function takeLayer(
  options: IntakeOptions,
  download: Download,
  signal: AbortSignal,
): Promise<LayerRecord> {
  const { pool } = options;
  const intake = new LayerIntake(options, (job) => pool.start(job));
  try {
    return await takeBy(intake, options, download, signal);
  } catch (error) {
    if (!intake.mayStartAgain || signal.aborted) throw error;
  }
  return takeApart(options, download, signal);
}

/** Unpacks in a separate worker. The wait for the worker does not count as the registry's time. */
async function takeApart(
  options: IntakeOptions,
  download: Download,
  signal: AbortSignal,
): Promise<LayerRecord> {
  const free = Promise.withResolvers<void>();
  const waited = options.local(() => free.promise);
  try {
    return await options.pool.apart(async (start) => {
      free.resolve();
      await waited;
      return takeBy(new LayerIntake(options, start), options, download, signal);
    }, signal);
  } finally {
    free.resolve();
  }
}

async function takeBy(
  intake: LayerIntake,
  options: IntakeOptions,
  download: Download,
  signal: AbortSignal,
): Promise<LayerRecord> {
  const stopListening = onAbort(signal, () => intake.cancel());
  try {
    await download(intake, signal);
    const record = await options.commit(() => intake.complete());
    // another download has stored the layer first
    if (!intake.isComplete) await intake.abandon();
    return record;
  } catch (error) {
    await intake.abandon();
    throw error;
  } finally {
    stopListening();
  }
}

class LayerIntake implements LayerSink {
  readonly #options: IntakeOptions;
  readonly #start: StartJob;
  #job: UnpackJob;
  #running: RunningJob;
  isComplete = false;

  constructor(options: IntakeOptions, start: StartJob) {
    this.#options = options;
    this.#start = start;
    this.#job = options.newJob();
    this.#running = start(this.#job);
  }

  /** Whether it failed because its worker crashed while it had other jobs, too. */
  get mayStartAgain(): boolean {
    return this.#running.mayStartAgain;
  }

  async write(piece: Uint8Array): Promise<void> {
    const { failure } = this.#running;
    // Ignore errors of the content for now: a mirror may send wrong bytes, and the digest check at the end of the
    // download then moves on to the next endpoint. A full disk or an exceeded bound fails the download at once.
    if (failure !== undefined && failure.kind !== 'outside') throw new FaultError(failure);
    await this.#running.write(piece);
  }

  async restart(): Promise<void> {
    await this.abandon();
    this.#job = this.#options.newJob();
    this.#running = this.#start(this.#job);
  }

  cancel(): void {
    this.#running.cancel();
  }

  async complete(): Promise<LayerRecord> {
    this.#running.end();
    const result = await this.#running.result;
    if (result.kind !== 'unpack')
      fail('bug', `unpack layer ${this.#job.diffId}: the worker answered ${result.kind}`);
    this.isComplete = true;
    this.#options.onEnd(this.#job, true);
    return result.record;
  }

  /** Cancels the job and waits, for a bounded time, until the worker has deleted its files. */
  async abandon(): Promise<void> {
    this.#running.cancel();
    const { clock } = this.#options;
    const isClean = await new Promise<boolean>((resolve) => {
      const timer = clock.setTimeout(() => {
        resolve(false);
      }, storageLimits.cancelMs);
      const settle = (clean: boolean): void => {
        clock.clearTimeout(timer);
        resolve(clean);
      };
      this.#running.result.then(
        () => {
          settle(true);
        },
        () => {
          settle(!this.#running.isLost);
        },
      );
    });
    this.#options.onEnd(this.#job, isClean);
  }
}
