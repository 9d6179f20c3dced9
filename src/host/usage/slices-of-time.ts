/**
 * Short synchronous pieces of work, one after the other: as many in one turn of the event loop as fit into a slice of
 * time. A reading of all of a thousand containers' files would delay every other call by half a second.
 */
import type { ClockPort } from '../../ports/clock.ts';
import { Fifo } from '../../base/fifo.ts';
import { nextTurn } from '../clock/wait.ts';

export class SlicesOfTime {
  readonly #clock: Pick<ClockPort, 'monoMs'>;
  readonly #sliceMs: number;
  readonly #waiting = new Fifo<() => void>();
  #isRunning = false;

  constructor(clock: Pick<ClockPort, 'monoMs'>, sliceMs: number) {
    this.#clock = clock;
    this.#sliceMs = sliceMs;
  }

  /** Does a piece of work after those that wait already, in a later turn; rejects with what it throws. */
  run<T>(work: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => {
        try {
          resolve(work());
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
      if (!this.#isRunning) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      await nextTurn();
      const until = this.#clock.monoMs() + this.#sliceMs;
      do {
        this.#waiting.shift()?.();
        // what the caller does with the result belongs to the slice
        await Promise.resolve();
      } while (this.#waiting.length > 0 && this.#clock.monoMs() < until);
    }
    this.#isRunning = false;
  }
}
