/**
 * The pool of storage workers: at most two, which are started on demand and exit when idle. If a worker crashes (out of
 * memory), any of its jobs may have caused that, and they may belong to several tenants. So each of them is run once
 * more in a separate worker, and only the job that crashes its worker again fails (S90).
 */
import { MessageChannel, Worker } from 'node:worker_threads';
import type { MessagePort, WorkerOptions } from 'node:worker_threads';
import type { ClockPort, TimerHandle } from '../../../../ports/clock.ts';
import { Semaphore } from '../../../../base/bounded.ts';
import { FaultError, fail, fault } from '../../../../base/fault.ts';
import type { Fault } from '../../../../base/fault.ts';
import { storageLimits } from '../../../bounds.ts';
import { startWorker } from '../../../../host/program/program-files.ts';
import { noteMoved } from '../../../../host/tuning/memory.ts';
import type { FromJob, WorkerJob, JobResult, ToJob, ToWorker, UnpackJob } from './worker-protocol.ts';

const WAITED = 'wait for a separate storage worker after a shared one has crashed';

export interface PoolOptions {
  readonly clock: ClockPort;
  /** ms that an idle worker is kept. */
  readonly idleMs?: number;
  /** Maximum number of shared workers. */
  readonly workers?: number;
  /** Replaces the worker's program in tests. */
  readonly program?: URL;
}

interface Slot {
  readonly worker: Worker;
  readonly jobs: Set<RunningJob>;
  /** Whether it is separate: it has one job and exits after it. */
  readonly isApart: boolean;
  idle: TimerHandle | undefined;
}

/** Starts a job on the worker that the pool has chosen. */
export type StartJob = (job: UnpackJob) => RunningJob;

export class WorkerPool {
  readonly #options: PoolOptions;
  readonly #slots = new Set<Slot>();
  /**
   * Separate from `#othersApart`: unpacking can last as long as a slow registry, and other jobs must not wait for it.
   */
  readonly #unpacksApart = new Semaphore(
    'separate workers for unpacking',
    storageLimits.unpacksApart,
    storageLimits.apartWaiting,
  );
  readonly #othersApart = new Semaphore(
    'separate workers for other jobs',
    storageLimits.othersApart,
    storageLimits.apartWaiting,
  );

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Number of running worker threads. */
  get size(): number {
    return this.#slots.size;
  }

  /** Starts a job on the worker with the fewest jobs. `result` settles exactly once. */
  start(job: WorkerJob): RunningJob {
    const running = new RunningJob(job);
    this.#give(this.#freest(), running, job);
    return running;
  }

  /**
   * Runs `work`, which starts unpacking in separate workers, when one is free. While waiting, rejects with the signal's
   * reason, or with `exhausted` after `storageLimits.apartWaitMs`.
   */
  async apart<T>(work: (start: StartJob) => Promise<T>, signal: AbortSignal): Promise<T> {
    return this.#whenFree(this.#unpacksApart, signal, () =>
      work((job) => {
        const running = new RunningJob(job);
        this.#give(this.#spawn(true), running, job);
        return running;
      }),
    );
  }

  async #whenFree<T>(slots: Semaphore, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    const late = new AbortController();
    const timer = clock.setTimeout(() => {
      late.abort(
        new FaultError(
          fault('exhausted', `${WAITED}: timed out after ${storageLimits.apartWaitMs / 1000}s`, {
            retryable: true,
          }),
        ),
      );
    }, storageLimits.apartWaitMs);
    try {
      return await slots.with(
        () => {
          clock.clearTimeout(timer);
          return work();
        },
        AbortSignal.any([signal, late.signal]),
      );
    } finally {
      clock.clearTimeout(timer);
    }
  }

  #give(slot: Slot, running: RunningJob, job: WorkerJob): void {
    if (slot.idle !== undefined) this.#options.clock.clearTimeout(slot.idle);
    slot.idle = undefined;
    const channel = new MessageChannel();
    slot.jobs.add(running);
    slot.worker.ref();
    running.runOn(channel.port1, {
      ended: () => {
        slot.jobs.delete(running);
        if (slot.jobs.size === 0) this.#rest(slot);
      },
      // the worker is exiting, and reports the reason; if it is not, it is broken
      closed: () => void slot.worker.terminate(),
    });
    const message: ToWorker = { type: 'job', job, port: channel.port2 };
    slot.worker.postMessage(message, [channel.port2]);
  }

  /** Handles the loss of a worker: each of its jobs may have caused it. */
  #lost(slot: Slot, reason: Fault): void {
    // an 'error' event is followed by 'exit': handle the loss once
    if (!this.#slots.delete(slot)) return;
    if (slot.idle !== undefined) this.#options.clock.clearTimeout(slot.idle);
    const wasAlone = slot.jobs.size === 1;
    for (const running of slot.jobs) {
      if (wasAlone) running.lose(reason);
      else if (running.job.kind === 'unpack') running.lose(reason, 'mayStartAgain');
      else void this.#again(running, running.job, reason);
    }
  }

  /** Runs a job once more from its start, which is possible for all jobs but unpacking. */
  async #again(running: RunningJob, job: WorkerJob, reason: Fault): Promise<void> {
    running.leave();
    const again: WorkerJob = job.kind === 'flatten' ? { ...job, isAgain: true } : job;
    try {
      await this.#whenFree(this.#othersApart, running.cancelled, async () => {
        this.#give(this.#spawn(true), running, again);
        await running.result.catch(() => undefined);
      });
    } catch {
      running.lose(reason);
    }
  }

  /** Stops idle workers now; the others exit after their jobs. */
  close(): void {
    for (const slot of this.#slots) if (slot.jobs.size === 0) this.#end(slot);
  }

  #freest(): Slot {
    let best: Slot | undefined;
    const shared = [...this.#slots].filter(({ isApart }) => !isApart);
    for (const slot of shared) if (best === undefined || slot.jobs.size < best.jobs.size) best = slot;
    // start a second thread (12 MB) only if the first one is busy
    if (
      best !== undefined &&
      (best.jobs.size === 0 || shared.length >= (this.#options.workers ?? storageLimits.workers))
    )
      return best;
    return this.#spawn(false);
  }

  #spawn(isApart: boolean): Slot {
    const { program } = this.#options;
    const options: WorkerOptions = {
      name: 'storage',
      // the worker opens descriptors through libc; Node would warn at each one that it closes
      trackUnmanagedFds: false,
      resourceLimits: {
        maxOldGenerationSizeMb: storageLimits.workerHeapMb,
        maxYoungGenerationSizeMb: storageLimits.workerYoungMb,
      },
    };
    const worker =
      program === undefined
        ? startWorker('worker.js', new URL('./worker.ts', import.meta.url), options)
        : new Worker(program, options);
    const slot: Slot = { worker, jobs: new Set(), isApart, idle: undefined };
    worker.on('error', (error: Error & { code?: string }) => {
      const kind = error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'exhausted' : 'bug';
      this.#lost(slot, fault(kind, `storage worker crashed: ${error.message}`, { retryable: false }));
    });
    worker.on('exit', (code) => {
      this.#lost(slot, fault('bug', `storage worker exited with code ${code}`));
    });
    this.#slots.add(slot);
    return slot;
  }

  #rest(slot: Slot): void {
    if (!this.#slots.has(slot)) return;
    if (slot.isApart) {
      this.#end(slot);
      return;
    }
    // an idle worker does not keep the process alive
    slot.worker.unref();
    slot.idle = this.#options.clock.setTimeout(() => {
      this.#end(slot);
    }, this.#options.idleMs ?? storageLimits.workerIdleMs);
  }

  #end(slot: Slot): void {
    if (slot.idle !== undefined) this.#options.clock.clearTimeout(slot.idle);
    slot.idle = undefined;
    this.#slots.delete(slot);
    const message: ToWorker = { type: 'exit' };
    slot.worker.postMessage(message);
  }
}

/** Events of a job for the pool. */
export interface JobEvents {
  /** The job has succeeded or failed. */
  ended(): void;
  /** The worker closed the channel without a result. */
  closed(): void;
}

/** A job on a worker, with a bounded window of bytes in flight. */
export class RunningJob {
  readonly job: WorkerJob;
  readonly result: Promise<JobResult>;
  readonly #cancelled = new AbortController();
  /** Undefined while it waits for another worker. */
  #port: MessagePort | undefined;
  #events: JobEvents | undefined;
  #inFlight = 0;
  #batch: Buffer<ArrayBuffer> | undefined;
  #batched = 0;
  #reason: Fault | undefined;
  #isOver = false;
  #isLost = false;
  #mayStartAgain = false;
  #wake: (() => void) | undefined;
  #resolve: (result: JobResult) => void = () => undefined;
  #reject: (error: FaultError) => void = () => undefined;

  constructor(job: WorkerJob) {
    this.job = job;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // the caller may await the result later; an earlier rejection must not count as unhandled
    this.result.catch(() => undefined);
  }

  /** Connects the job to the worker that runs it. */
  runOn(port: MessagePort, events: JobEvents): void {
    this.#port = port;
    this.#events = events;
    port.on('message', (message: FromJob) => {
      this.#take(message);
    });
    port.on('close', () => {
      if (!this.#isOver && this.#port === port) events.closed();
    });
  }

  /** Disconnects the job from a lost worker; it waits for another one. */
  leave(): void {
    this.#port?.close();
    this.#port = undefined;
    this.#events = undefined;
  }

  /** Aborted by `cancel`. */
  get cancelled(): AbortSignal {
    return this.#cancelled.signal;
  }

  /** Whether its lost worker had other jobs, one of which may have crashed it. */
  get mayStartAgain(): boolean {
    return this.#mayStartAgain;
  }

  /** Whether the worker was lost, so that files of the job may be left. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Why the job failed; undefined if it has not. */
  get failure(): Fault | undefined {
    return this.#reason;
  }

  /**
   * Sends bytes of a blob; waits while the window is full. The bytes are copied, since the sender uses its buffer
   * again. Does nothing after the job's end.
   */
  async write(bytes: Uint8Array): Promise<void> {
    noteMoved(bytes.length);
    for (let done = 0; done < bytes.length;) {
      while (this.#inFlight >= storageLimits.windowBytes && !this.#isOver) {
        if (this.#wake !== undefined) fail('bug', 'write to a storage worker: a write waits already');
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      if (this.#isOver) return;
      // a buffer with its own memory, which can be transferred to the worker without a copy
      const batch = (this.#batch ??= Buffer.allocUnsafeSlow(storageLimits.batchBytes));
      const piece = bytes.subarray(done, done + batch.length - this.#batched);
      batch.set(piece, this.#batched);
      this.#batched += piece.length;
      done += piece.length;
      if (this.#batched === batch.length) this.#send();
    }
  }

  /** Ends the blob. */
  end(): void {
    this.#send();
    this.#say({ type: 'end' });
  }

  #send(): void {
    const batch = this.#batch;
    if (batch === undefined || this.#isOver) return;
    const bytes = batch.subarray(0, this.#batched);
    this.#batch = undefined;
    this.#batched = 0;
    this.#inFlight += bytes.length;
    const message: ToJob = { type: 'chunk', bytes };
    this.#port?.postMessage(message, [bytes.buffer]);
  }

  /** Asks the job to stop and to delete its files. `result` then rejects, unless the job is already done. */
  cancel(): void {
    this.#cancelled.abort();
    this.#say({ type: 'cancel' });
  }

  /** Fails the job because its worker is lost. */
  lose(reason: Fault, how: 'forGood' | 'mayStartAgain' = 'forGood'): void {
    if (this.#isOver) return;
    this.#isLost = true;
    this.#mayStartAgain = how === 'mayStartAgain' && !this.cancelled.aborted;
    this.#fail(reason);
  }

  #fail(reason: Fault): void {
    this.#reason = reason;
    this.#finish();
    this.#reject(new FaultError(reason));
  }

  #say(message: ToJob): void {
    if (!this.#isOver) this.#port?.postMessage(message);
  }

  #take(message: FromJob): void {
    if (this.#isOver) return;
    if (message.type === 'credit') {
      this.#inFlight -= message.bytes;
      this.#wakeWriter();
      return;
    }
    if (message.type === 'failed') {
      this.#fail(message.fault);
      return;
    }
    this.#finish();
    this.#resolve(message.result);
  }

  #finish(): void {
    this.#isOver = true;
    this.#batch = undefined;
    this.#port?.close();
    this.#wakeWriter();
    this.#events?.ended();
  }

  #wakeWriter(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
