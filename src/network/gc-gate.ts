/**
 * Keeps GC apart from ADD and DEL (CNI spec 1.1.0: GC gets the attachments that are valid, so an ADD beside it
 * would lose what it reserves). Pods go first: GC starts only while no ADD or DEL is running, and a call that
 * arrives meanwhile waits for the plugin that is running, not for the rest of the chain.
 */
import { onAbort } from '../base/abort.ts';
import { fail } from '../base/fault.ts';
import type { ClockPort } from '../ports/clock.ts';
import { networkLimits } from './bounds.ts';

export class GcGate {
  readonly #clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;
  /** ADDs and DELs that are running or waiting for GC. */
  #calls = 0;
  /** Present while a plugin's GC runs; resolves when it ends. */
  #collecting: Promise<void> | undefined;
  /** Called when no ADD or DEL is left. */
  #onQuiet: (() => void) | undefined;

  constructor(clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>) {
    this.#clock = clock;
  }

  /**
   * Runs an ADD or a DEL, after the GC of one plugin at most. Rejects with `cancelled` when the signal has aborted by
   * then; the work is not begun. `attempted` begins the message.
   */
  async pass<T>(attempted: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    // counted while it still waits, so that the next plugin's GC does not start before it
    this.#calls += 1;
    try {
      if (this.#collecting !== undefined) await this.#collecting;
      if (signal?.aborted === true) fail('cancelled', `${attempted}: cancelled`);
      return await work();
    } finally {
      this.#calls -= 1;
      if (this.#calls === 0) this.#onQuiet?.();
    }
  }

  /**
   * Runs the GC of one plugin while no ADD or DEL runs. There must be one caller at a time. Rejects with
   * `notReady` when pods come and go for `gcQuietMs` without a pause, and with `cancelled` after an abort.
   * `attempted` begins the message.
   */
  async alone(attempted: string, signal: AbortSignal | undefined, work: () => Promise<void>): Promise<void> {
    const running = await this.#whenQuiet(attempted, signal, work);
    try {
      await running.ended;
    } finally {
      this.#collecting = undefined;
    }
  }

  /** Starts the work as soon as no ADD or DEL runs. */
  async #whenQuiet(
    attempted: string,
    signal: AbortSignal | undefined,
    work: () => Promise<void>,
  ): Promise<{ readonly ended: Promise<void> }> {
    let isOver = signal?.aborted === true;
    let wake = (): void => undefined;
    const end = (): void => {
      isOver = true;
      wake();
    };
    const timer = this.#clock.setTimeout(end, networkLimits.gcQuietMs);
    const unfollow = onAbort(signal, end);
    try {
      // again after each pause: a call may have arrived before this function continued
      while (this.#calls > 0 && !isOver) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          this.#onQuiet = resolve;
        });
      }
      if (signal?.aborted === true) fail('cancelled', `${attempted}: cancelled`);
      if (isOver) {
        const seconds = networkLimits.gcQuietMs / 1000;
        fail('notReady', `${attempted}: ADD or DEL in progress for ${seconds}s without a pause`);
      }
      // no await between the last test of #calls and this: a call would start beside the work
      const ended = work();
      this.#collecting = ended.catch(() => undefined);
      return { ended };
    } finally {
      unfollow();
      this.#clock.clearTimeout(timer);
      this.#onQuiet = undefined;
    }
  }
}
