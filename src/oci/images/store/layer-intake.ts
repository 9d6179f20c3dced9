/** The main thread's half of an unpacking: bytes from a download to a worker, one attempt after another. */
import type { ClockPort } from '../../../ports/clock.ts';
import { onAbort } from '../../../base/abort.ts';
import { FaultError, fail } from '../../../base/fault.ts';
import { storageLimits } from '../../bounds.ts';
import type { LayerRecord } from './records/layer-record.ts';
import type { RunningJob, Start, WorkerPool } from './workers/worker-pool.ts';
import type { UnpackJob } from './workers/worker-protocol.ts';

/** Where a download writes to (the shape of the registry client's sink). */
export interface LayerSink {
  write(piece: Uint8Array): Promise<void>;
  /** What was written so far was not the blob: it comes again from the start. */
  restart(): Promise<void>;
}

/** Brings the whole blob into the sink, its digest verified, or rejects. */
export type Download = (sink: LayerSink, signal: AbortSignal) => Promise<void>;

export interface IntakeOptions {
  readonly pool: Pick<WorkerPool, 'start' | 'apart'>;
  readonly clock: ClockPort;
  /** A new job with a fresh name, each time. */
  newJob(): UnpackJob;
  /** Makes the layer visible by `publish`, or gives the record of the one that is there by now. */
  commit(publish: () => Promise<LayerRecord>): Promise<LayerRecord>;
  /** The time of `work` is no registry's (`Turn`); not to be nested. */
  ours<T>(work: () => Promise<T>): Promise<T>;
  /** A job's end, however it came: `isClean` says that nothing of it is left. */
  onEnd(job: UnpackJob, isClean: boolean): void;
}

/**
 * Downloads and unpacks; the layer is there whole and durable when this settles, or nothing of it is. Where a worker ends with
 * this and other layers in hand, it is done once more in a worker of its own: another layer may have been why (S90).
 */
export async function takeLayer(
  options: IntakeOptions,
  download: Download,
  signal: AbortSignal,
): Promise<LayerRecord> {
  const { pool } = options;
  const intake = new Intake(options, (job) => pool.start(job));
  try {
    return await takeBy(intake, options, download, signal);
  } catch (error) {
    if (!intake.mayStartAgain || signal.aborted) throw error;
  }
  return takeApart(options, download, signal);
}

/** In a worker of its own. The wait for that is ours; the download, which counts parts of itself as ours, is not. */
async function takeApart(
  options: IntakeOptions,
  download: Download,
  signal: AbortSignal,
): Promise<LayerRecord> {
  const place = Promise.withResolvers<void>();
  const waited = options.ours(() => place.promise);
  try {
    return await options.pool.apart(async (start) => {
      place.resolve();
      await waited;
      return takeBy(new Intake(options, start), options, download, signal);
    }, signal);
  } finally {
    place.resolve();
  }
}

async function takeBy(
  intake: Intake,
  options: IntakeOptions,
  download: Download,
  signal: AbortSignal,
): Promise<LayerRecord> {
  const stopListening = onAbort(signal, () => intake.cancel());
  try {
    await download(intake, signal);
    const record = await options.commit(() => intake.complete());
    // the same layer came from elsewhere first
    if (!intake.isComplete) await intake.abandon();
    return record;
  } catch (error) {
    await intake.abandon();
    throw error;
  } finally {
    stopListening();
  }
}

class Intake implements LayerSink {
  readonly #options: IntakeOptions;
  readonly #start: Start;
  #job: UnpackJob;
  #running: RunningJob;
  isComplete = false;

  constructor(options: IntakeOptions, start: Start) {
    this.#options = options;
    this.#start = start;
    this.#job = options.newJob();
    this.#running = start(this.#job);
  }

  /** It failed since its worker ended, which had other jobs as well. */
  get mayStartAgain(): boolean {
    return this.#running.mayStartAgain;
  }

  async write(piece: Uint8Array): Promise<void> {
    const { failure } = this.#running;
    // What the unpacker makes of a blob counts once the blob's digest is known to be right: bytes of a lying mirror
    // must not end the pull, the download goes on to the next endpoint. A full disk or a bound ends it at once.
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

  /** Waits, for a bounded time, until the worker has deleted what it wrote. */
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
