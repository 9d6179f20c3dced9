/**
 * Calls that are refused because troupe is not ready. A kubelet asks again all the time, so of those refused for one
 * reason the first is logged as any other failure and the rest below the usual level; at the end their number is
 * logged.
 */
import { fault, FaultError } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';

export class NotReadyCalls {
  readonly #notReadyReason: () => string | undefined;
  readonly #log: Log;
  /** Errors of those that are not the first. */
  readonly #repeated = new WeakSet();
  #reason: string | undefined;
  #calls = 0;

  constructor({
    notReadyReason,
    log,
  }: {
    readonly notReadyReason: () => string | undefined;
    readonly log: Log;
  }) {
    this.#notReadyReason = notReadyReason;
    this.#log = log;
  }

  /** Throws `notReady` while calls are refused. */
  check(rpc: string): void {
    const reason = this.#notReadyReason();
    if (reason !== this.#reason) this.#begin(reason);
    if (reason === undefined) return;
    this.#calls += 1;
    const error = new FaultError(fault('notReady', `${rpc}: troupe is not ready: ${reason}`));
    if (this.#calls > 1) this.#repeated.add(error);
    throw error;
  }

  /** Whether the error is a refusal for a reason for which another call was refused before. */
  isRepeated(thrown: unknown): boolean {
    return typeof thrown === 'object' && thrown !== null && this.#repeated.has(thrown);
  }

  #begin(reason: string | undefined): void {
    if (this.#calls > 1)
      this.#log.info({ reason: this.#reason, calls: this.#calls }, 'calls were refused: not ready');
    this.#reason = reason;
    this.#calls = 0;
  }
}
