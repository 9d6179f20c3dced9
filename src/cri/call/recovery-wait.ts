/**
 * Calls that come while the daemon recovers wait for the end of that: it takes a few hundred milliseconds, and a client
 * that was refused would only ask again.
 */
import type { ClockPort } from '../../ports/clock.ts';
import { edgeLimits } from '../bounds.ts';

type WaitClock = Pick<ClockPort, 'monoMs' | 'setTimeout' | 'clearTimeout'>;

export class RecoveryWait {
  readonly #clock: WaitClock;
  readonly #ended = Promise.withResolvers<void>();
  readonly #timer: ReturnType<ClockPort['setTimeout']>;
  #isOver = false;

  /** The recovery begins now. Calls wait for `edgeLimits.recoveryMs` from now on, and are refused later. */
  constructor(clock: WaitClock) {
    this.#clock = clock;
    this.#timer = clock.setTimeout(() => this.#end(), edgeLimits.recoveryMs);
  }

  /** What a call waits for, at most until its deadline; undefined when it need not wait. Never rejects. */
  readonly pending = (deadlineMonoMs?: number): Promise<void> | undefined => {
    const ended = this.#ended.promise;
    if (this.#isOver) return undefined;
    return deadlineMonoMs === undefined ? ended : this.#until(ended, deadlineMonoMs);
  };

  /** The daemon has recovered. */
  end(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#end();
  }

  #end(): void {
    this.#isOver = true;
    this.#ended.resolve();
  }

  async #until(ended: Promise<void>, deadlineMonoMs: number): Promise<void> {
    const passed = Promise.withResolvers<void>();
    const timer = this.#clock.setTimeout(passed.resolve, deadlineMonoMs - this.#clock.monoMs());
    await Promise.race([ended, passed.promise]);
    this.#clock.clearTimeout(timer);
  }
}
