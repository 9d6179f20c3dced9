/** The bound on the time of an exec, the same for every kind of handler. */
import type { ClockPort } from '../../../ports/clock.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { fail } from '../../../base/fault.ts';
import { within } from '../../../host/clock/wait.ts';

export interface ExecDeadlineOptions {
  readonly clock: ClockPort;
  readonly id: ContainerId;
  readonly fx: Pick<EffectContext, 'signal' | 'timeoutMs'>;
  /** ms; 0 for none. The effect's own bound holds in any case. */
  readonly limitMs: number;
  /** What a cancelled wait says in place of the standard phrase; called when it is cancelled. */
  readonly reason?: (signal: AbortSignal) => string;
}

/** One deadline for several steps of an exec; its time begins with its construction. */
export class ExecDeadline {
  readonly #options: ExecDeadlineOptions;
  readonly #limitMs: number;
  readonly #endMs: number;

  constructor(options: ExecDeadlineOptions) {
    const { clock, fx, limitMs } = options;
    this.#options = options;
    this.#limitMs = limitMs > 0 ? Math.min(limitMs, fx.timeoutMs) : fx.timeoutMs;
    this.#endMs = clock.monoMs() + this.#limitMs;
  }

  /**
   * The result of `promise`; rejects with `timedOut` at the deadline and with `cancelled` when the effect is. The
   * promise then goes on unobserved. `awaited` is what messages say that was waited for.
   */
  async bounded<T>(promise: Promise<T>, awaited = 'the command'): Promise<T> {
    const { clock, id, fx, reason } = this.#options;
    const timeoutMs = Math.max(0, this.#endMs - clock.monoMs());
    const met = await within({ clock, timeoutMs, signal: fx.signal }, promise);
    if (met !== 'timedOut' && met !== 'cancelled') return met;
    promise.catch(() => undefined);
    const attempted = `exec in container ${id}`;
    if (met === 'timedOut') {
      return fail('timedOut', `${attempted}: timed out after ${this.#limitMs} ms waiting for ${awaited}`, {
        subject: id,
      });
    }
    return fail(
      'cancelled',
      `${attempted}: ${reason?.(fx.signal) ?? `cancelled while waiting for ${awaited}`}`,
      {
        subject: id,
      },
    );
  }
}
