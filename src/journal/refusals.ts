/** What the disk refuses, told once until it works again: a full one refuses many times a second, and may have the log on it. */
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';

export class Refusals {
  readonly #log: Log;
  /** Those told, by what was refused and the kernel's code: no more than the messages of this room and errno. */
  readonly #told = new Set<string>();
  #count = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  note(level: 'warn' | 'error', thrown: unknown, message: string): void {
    this.#count += 1;
    const { code } = (thrown ?? {}) as { readonly code?: unknown };
    const key = `${message} ${String(code)}`;
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.#log[level]({ reason: toFault(thrown).message }, message);
  }

  /** The disk has taken what needs no favour. */
  end(): void {
    if (this.#count === 0) return;
    this.#log.info({ refusals: this.#count }, 'journal: the disk takes records again');
    this.#told.clear();
    this.#count = 0;
  }
}
