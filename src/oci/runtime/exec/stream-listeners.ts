/** The output queued for attached clients: bounded for each client and for all together (F75, S85). */
import { ByteQueue } from '../../../base/byte-streams.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { FaultError, fault } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';

/** First byte of an attach packet (conmon, src/utils.h). */
const STDOUT_PIPE = 2;
const STDERR_PIPE = 3;

/** Bounds the output queued for all attached clients of all containers (S85). */
export class AttachBudget {
  #bytes = 0;
  readonly #listeners = new Set<AttachListener>();

  /** Bytes queued. */
  get size(): number {
    return this.#bytes;
  }

  join(listener: AttachListener): void {
    this.#listeners.add(listener);
  }

  leave(listener: AttachListener): void {
    this.#listeners.delete(listener);
  }

  taken(bytes: number): void {
    this.#bytes -= bytes;
  }

  /**
   * Counts queued bytes. Above the bound the clients with the longest queues are dropped: one that keeps up loses
   * nothing.
   */
  queued(bytes: number): void {
    this.#bytes += bytes;
    while (this.#bytes > driverLimits.attachAllBytes) {
      let slowest: AttachListener | undefined;
      for (const one of this.#listeners)
        if (slowest === undefined || one.waiting > slowest.waiting) slowest = one;
      if (slowest === undefined) return;
      slowest.drop(`${driverLimits.attachAllBytes} bytes are queued for all clients`);
    }
  }
}

/** The queue of one attached client. */
export class AttachListener {
  readonly stdout: ByteQueue;
  readonly stderr: ByteQueue;
  readonly #budget: AttachBudget;
  readonly #id: ContainerId;
  /** Rejects when the client is too slow. */
  readonly dropped: Promise<never>;
  /** Resolves when no more output will come. */
  readonly ended: Promise<void>;
  #refuse: (error: Error) => void = () => undefined;
  #isDropped = false;
  #end: () => void = () => undefined;

  constructor(budget: AttachBudget, id: ContainerId) {
    this.#budget = budget;
    this.#id = id;
    const taken = (bytes: number): void => budget.taken(bytes);
    this.stdout = new ByteQueue(taken);
    this.stderr = new ByteQueue(taken);
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.dropped = new Promise((_resolve, reject) => {
      this.#refuse = reject;
    });
    this.dropped.catch(() => undefined);
    budget.join(this);
  }

  /** Bytes queued for this client. */
  get waiting(): number {
    return this.stdout.size + this.stderr.size;
  }

  /** False when the client was dropped. */
  push(pipe: number, bytes: Uint8Array): boolean {
    if (pipe === STDOUT_PIPE || pipe === STDERR_PIPE) {
      this.#budget.queued(bytes.length);
      (pipe === STDOUT_PIPE ? this.stdout : this.stderr).push(bytes);
    }
    if (this.waiting > driverLimits.attachBytes)
      this.drop(`${driverLimits.attachBytes} bytes are queued for it`);
    return !this.#isDropped;
  }

  /** Ends this client's attach with the reason and frees its queue at once. */
  drop(reason: string): void {
    this.#isDropped = true;
    const message = `attach to container ${this.#id}: the client reads too slowly: ${reason}`;
    this.#refuse(new FaultError(fault('exhausted', message, { subject: this.#id })));
    this.leave();
  }

  end(): void {
    this.stdout.end();
    this.stderr.end();
    this.#end();
  }

  /** Frees the queue: nobody reads it any more. */
  leave(): void {
    this.end();
    this.stdout.cancel();
    this.stderr.cancel();
    this.#budget.leave(this);
  }
}
