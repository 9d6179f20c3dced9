/** The storage workers: at most two, started when there is work and ended when there has been none for a while. */
import { MessageChannel, Worker } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import type { ClockPort, TimerHandle } from '../../actors/ports/clock.ts';
import { FaultError, fail, fault } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import { storageLimits } from '../../base/limits.ts';
import { noteMoved } from '../../host/memory.ts';
import type { FromJob, Job, JobResult, ToJob, ToWorker } from './worker-protocol.ts';

export interface PoolOptions {
  readonly clock: ClockPort;
  /** ms that an idle worker is kept. */
  readonly idleMs?: number;
}

interface Slot {
  readonly worker: Worker;
  readonly jobs: Set<RunningJob>;
  idle: TimerHandle | undefined;
}

export class WorkerPool {
  readonly #options: PoolOptions;
  readonly #slots = new Set<Slot>();

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Threads that are there now. */
  get size(): number {
    return this.#slots.size;
  }

  /** Starts a job on the worker that has least to do; its `result` settles exactly once. */
  start(job: Job): RunningJob {
    const slot = this.#freest();
    if (slot.idle !== undefined) this.#options.clock.clearTimeout(slot.idle);
    slot.idle = undefined;
    const channel = new MessageChannel();
    const running = new RunningJob(job, channel.port1);
    slot.jobs.add(running);
    slot.worker.ref();
    running.onEnd(() => {
      slot.jobs.delete(running);
      if (slot.jobs.size === 0) this.#rest(slot);
    });
    const message: ToWorker = { type: 'job', job, port: channel.port2 };
    slot.worker.postMessage(message, [channel.port2]);
    return running;
  }

  /** Ends idle workers now and the others after their jobs. */
  close(): void {
    for (const slot of this.#slots) if (slot.jobs.size === 0) this.#end(slot);
  }

  #freest(): Slot {
    let best: Slot | undefined;
    for (const slot of this.#slots) if (best === undefined || slot.jobs.size < best.jobs.size) best = slot;
    // a second thread (12 MB) only where the first has work
    if (best !== undefined && (best.jobs.size === 0 || this.#slots.size >= storageLimits.workers)) return best;
    return this.#spawn();
  }

  #spawn(): Slot {
    // beside this file, or in a bundle beside that
    const url = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);
    const worker = new Worker(url, {
      name: 'storage',
      // its descriptors are libc's, of which Node would warn at each one that is closed
      trackUnmanagedFds: false,
      resourceLimits: { maxOldGenerationSizeMb: storageLimits.workerHeapMb, maxYoungGenerationSizeMb: storageLimits.workerYoungMb },
    });
    const slot: Slot = { worker, jobs: new Set(), idle: undefined };
    const lost = (reason: Fault): void => {
      this.#slots.delete(slot);
      if (slot.idle !== undefined) this.#options.clock.clearTimeout(slot.idle);
      for (const job of slot.jobs) job.lose(reason);
    };
    worker.on('error', (error: Error & { code?: string }) => {
      const kind = error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'exhausted' : 'bug';
      lost(fault(kind, `storage worker: ended by ${error.message}`, { retryable: false }));
    });
    worker.on('exit', (code) => {
      lost(fault('bug', `storage worker: ended with code ${code}`));
    });
    this.#slots.add(slot);
    return slot;
  }

  #rest(slot: Slot): void {
    if (!this.#slots.has(slot)) return;
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

/** A job on a worker, with a bounded window of bytes on the way. */
export class RunningJob {
  readonly result: Promise<JobResult>;
  readonly #port: MessagePort;
  #inFlight = 0;
  #batch: Buffer<ArrayBuffer> | undefined;
  #batched = 0;
  #reason: Fault | undefined;
  #isOver = false;
  #isLost = false;
  #wake: (() => void) | undefined;
  #onEnd: (() => void) | undefined;
  #resolve: (result: JobResult) => void = () => undefined;
  #reject: (error: FaultError) => void = () => undefined;

  constructor(job: Job, port: MessagePort) {
    this.#port = port;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // whoever starts a job looks at the result in its own time; a rejection before that is not an unhandled one
    this.result.catch(() => undefined);
    port.on('message', (message: FromJob) => {
      this.#take(message);
    });
    port.on('close', () => {
      this.lose(fault('bug', `${job.kind}: the storage worker closed the job without an answer`));
    });
  }

  onEnd(listener: () => void): void {
    this.#onEnd = listener;
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
    for (let done = 0; done < bytes.length; ) {
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
    this.#port.postMessage(message, [bytes.buffer]);
  }

  /** Asks the job to stop and to delete what it made; `result` then rejects, unless it was done already. */
  cancel(): void {
    this.#say({ type: 'cancel' });
  }

  /** The worker is gone: the job failed with this. */
  lose(reason: Fault): void {
    if (this.#isOver) return;
    this.#isLost = true;
    this.#fail(reason);
  }

  #fail(reason: Fault): void {
    this.#reason = reason;
    this.#finish();
    this.#reject(new FaultError(reason));
  }

  #say(message: ToJob): void {
    if (!this.#isOver) this.#port.postMessage(message);
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
    this.#port.close();
    this.#wakeWriter();
    this.#onEnd?.();
  }

  #wakeWriter(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
