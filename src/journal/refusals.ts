/**
 * Logs each kind of disk refusal once until the disk works again: a full disk refuses many times a second,
 * and may hold the log too.
 */
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';

export class Refusals {
  readonly #log: Log;
  /** Refusals logged so far, by message and errno: bounded by the messages of this room times the errnos. */
  readonly #logged = new Set<string>();
  #count = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  note(level: 'warn' | 'error', thrown: unknown, message: string): void {
    this.#count += 1;
    const { code } = (thrown ?? {}) as { readonly code?: unknown };
    const key = `${message} ${String(code)}`;
    if (this.#logged.has(key)) return;
    this.#logged.add(key);
    this.#log[level]({ reason: toFault(thrown).message }, message);
  }

  /** Called when the disk has taken a record that may not use the reserve. */
  end(): void {
    if (this.#count === 0) return;
    this.#log.info({ refusals: this.#count }, 'journal: the disk accepts records again');
    this.#logged.clear();
    this.#count = 0;
  }
}
