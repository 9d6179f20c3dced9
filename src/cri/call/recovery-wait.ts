/**
 * Calls that come while the daemon recovers wait for the end of that: after a restart it takes a few hundred
 * milliseconds, and a client whose connection was kept by systemd would only ask again.
 */
import type { ClockPort } from '../../ports/clock.ts';
import { edgeLimits } from '../bounds.ts';

export class RecoveryWait {
  readonly #clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;
  readonly #ended = Promise.withResolvers<void>();
  readonly #timer: ReturnType<ClockPort['setTimeout']>;
  #isOver = false;

  /** The recovery begins now. Calls wait for `edgeLimits.recoveryMs` from now on, and are refused later. */
  constructor(clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>) {
    this.#clock = clock;
    this.#timer = clock.setTimeout(() => this.#end(), edgeLimits.recoveryMs);
  }

  /** What a call waits for; undefined when it need not. Never rejects. */
  readonly pending = (): Promise<void> | undefined => (this.#isOver ? undefined : this.#ended.promise);

  /** The daemon has recovered. */
  end(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#end();
  }

  #end(): void {
    this.#isOver = true;
    this.#ended.resolve();
  }
}
