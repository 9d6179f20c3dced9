/**
 * The storage workers: at most two, started when there is work and ended when there has been none for a while. A worker that
 * ends by itself (out of memory) had jobs of several tenants in hand, and nobody knows whose it was: each of them is done
 * once more, in a worker of its own, so that only the job that ends workers fails (S90).
 */
import { MessageChannel, Worker } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import type { ClockPort, TimerHandle } from '../../../../ports/clock.ts';
import { Semaphore } from '../../../../base/bounded.ts';
import { FaultError, fail, fault } from '../../../../base/fault.ts';
import type { Fault } from '../../../../base/fault.ts';
import { storageLimits } from '../../../bounds.ts';
import { noteMoved } from '../../../../host/tuning/memory.ts';
import type { FromJob, Job, JobResult, ToJob, ToWorker, UnpackJob } from './worker-protocol.ts';

const WAITED = 'wait for a storage worker of its own, since a shared one has ended';

export interface PoolOptions {
  readonly clock: ClockPort;
  /** ms that an idle worker is kept. */
  readonly idleMs?: number;
  /** The most workers, without those apart. */
  readonly workers?: number;
  /** The worker's program, where a test has another one. */
  readonly program?: URL;
}

interface Slot {
  readonly worker: Worker;
  readonly jobs: Set<RunningJob>;
  /** Has one job, and ends with it. */
  readonly isApart: boolean;
  idle: TimerHandle | undefined;
}

/** Starts a job; where, the giver has decided. */
export type Start = (job: UnpackJob) => RunningJob;

export class WorkerPool {
  readonly #options: PoolOptions;
  readonly #slots = new Set<Slot>();
  /** Unpackings last as long as their registry likes: nothing else waits for their places. */
  readonly #unpacksApart = new Semaphore(
    'unpackings in a worker of their own',
    storageLimits.unpacksApart,
    storageLimits.apartWaiting,
  );
  readonly #othersApart = new Semaphore(
    'work in a worker of its own',
    storageLimits.othersApart,
    storageLimits.apartWaiting,
  );

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Threads that are there now. */
  get size(): number {
    return this.#slots.size;
  }

  /** Starts a job on the worker that has least to do; its `result` settles exactly once. */
  start(job: Job): RunningJob {
    const running = new RunningJob(job);
    this.#give(this.#freest(), running, job);
    return running;
  }

  /**
   * Unpackings in workers that nobody shares, one after another; `work` begins once there is a place for it. Rejects with the
   * signal's reason while it waits, and with `exhausted` after `storageLimits.apartWaitMs`.
   */
  async apart<T>(work: (start: Start) => Promise<T>, signal: AbortSignal): Promise<T> {
    return this.#whenFree(this.#unpacksApart, signal, () =>
      work((job) => {
        const running = new RunningJob(job);
        this.#give(this.#spawn(true), running, job);
        return running;
      }),
    );
  }

  async #whenFree<T>(places: Semaphore, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
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
      return await places.with(
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

  #give(slot: Slot, running: RunningJob, job: Job): void {
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
      // the worker is at its end, whose reason comes with it; one that is not is broken
      closed: () => void slot.worker.terminate(),
    });
    const message: ToWorker = { type: 'job', job, port: channel.port2 };
    slot.worker.postMessage(message, [channel.port2]);
  }

  /** The worker is gone, and every job that it had in hand may be why. */
  #lost(slot: Slot, reason: Fault): void {
    // an error comes with an exit
    if (!this.#slots.delete(slot)) return;
    if (slot.idle !== undefined) this.#options.clock.clearTimeout(slot.idle);
    const wasAlone = slot.jobs.size === 1;
    for (const running of slot.jobs) {
      if (wasAlone) running.lose(reason);
      else if (running.job.kind === 'unpack') running.lose(reason, 'mayStartAgain');
      else void this.#again(running, running.job, reason);
    }
  }

  /** Done once more from its beginning, which all but unpackings allow. */
  async #again(running: RunningJob, job: Job, reason: Fault): Promise<void> {
    running.leave();
    const again: Job = job.kind === 'flatten' ? { ...job, isAgain: true } : job;
    try {
      await this.#whenFree(this.#othersApart, running.cancelled, async () => {
        this.#give(this.#spawn(true), running, again);
        await running.result.catch(() => undefined);
      });
    } catch {
      running.lose(reason);
    }
  }

  /** Ends idle workers now and the others after their jobs. */
  close(): void {
    for (const slot of this.#slots) if (slot.jobs.size === 0) this.#end(slot);
  }

  #freest(): Slot {
    let best: Slot | undefined;
    const shared = [...this.#slots].filter(({ isApart }) => !isApart);
    for (const slot of shared) if (best === undefined || slot.jobs.size < best.jobs.size) best = slot;
    // a second thread (12 MB) only where the first has work
    if (
      best !== undefined &&
      (best.jobs.size === 0 || shared.length >= (this.#options.workers ?? storageLimits.workers))
    )
      return best;
    return this.#spawn(false);
  }

  #spawn(isApart: boolean): Slot {
    // beside this file, or in a bundle beside that
    const url =
      this.#options.program ??
      new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);
    const worker = new Worker(url, {
      name: 'storage',
      // its descriptors are libc's, of which Node would warn at each one that is closed
      trackUnmanagedFds: false,
      resourceLimits: {
        maxOldGenerationSizeMb: storageLimits.workerHeapMb,
        maxYoungGenerationSizeMb: storageLimits.workerYoungMb,
      },
    });
    const slot: Slot = { worker, jobs: new Set(), isApart, idle: undefined };
    worker.on('error', (error: Error & { code?: string }) => {
      const kind = error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'exhausted' : 'bug';
      this.#lost(slot, fault(kind, `storage worker: ended by ${error.message}`, { retryable: false }));
    });
    worker.on('exit', (code) => {
      this.#lost(slot, fault('bug', `storage worker: ended with code ${code}`));
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

/** What a job reports to who has started it. */
export interface JobEvents {
  /** It has its result, or failed. */
  ended(): void;
  /** The worker closed its end without an answer. */
  closed(): void;
}

/** A job on a worker, with a bounded window of bytes on the way. */
export class RunningJob {
  readonly job: Job;
  readonly result: Promise<JobResult>;
  readonly #cancelled = new AbortController();
  /** Undefined between two workers. */
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

  constructor(job: Job) {
    this.job = job;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // whoever starts a job looks at the result in its own time; a rejection before that is not an unhandled one
    this.result.catch(() => undefined);
  }

  /** The job's channel to the worker that does it from now on. */
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

  /** Its worker is gone, and it waits for another one. */
  leave(): void {
    this.#port?.close();
    this.#port = undefined;
    this.#events = undefined;
  }

  /** Aborted by `cancel`. */
  get cancelled(): AbortSignal {
    return this.#cancelled.signal;
  }

  /** Whether another job was in the worker that was lost with this one: what ended it may have been that. */
  get mayStartAgain(): boolean {
    return this.#mayStartAgain;
  }

  /** The worker ended without an answer: what it made is still there. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Why the job failed, once it did. */
  get failure(): Fault | undefined {
    return this.#reason;
  }

  /**
   * Takes bytes of a blob (copied: the sender hashes and reuses its buffer, which may be a slice of a pool); waits while
   * the window is full. After the job's end it does nothing.
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
      // memory of its own, which the worker gets as it is
      const batch = (this.#batch ??= Buffer.allocUnsafeSlow(storageLimits.batchBytes));
      const piece = bytes.subarray(done, done + batch.length - this.#batched);
      batch.set(piece, this.#batched);
      this.#batched += piece.length;
      done += piece.length;
      if (this.#batched === batch.length) this.#send();
    }
  }

  /** The blob is whole. */
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

  /** Asks the job to stop and to delete what it made; `result` then rejects, unless it was done already. */
  cancel(): void {
    this.#cancelled.abort();
    this.#say({ type: 'cancel' });
  }

  /** The worker is gone: the job failed with this. */
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
