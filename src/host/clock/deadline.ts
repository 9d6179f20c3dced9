/** Combines the deadline and the abort signal of one port call into one signal. */
import type { ClockPort } from '../../ports/clock.ts';
import type { EffectContext } from '../../ports/effect.ts';
import { onAbort, unlessAborted } from '../../base/abort.ts';
import { FaultError, fault } from '../../base/fault.ts';

/**
 * Runs `work` with a signal that aborts when the caller cancels or after `fx.timeoutMs`, and settles then at
 * the latest: a system call on a dead disk can't be stopped, only abandoned. `attempted` begins the error
 * message.
 * @throws `timedOut`, `cancelled`, or the fault that the caller cancelled with
 */
export function withDeadline<T>(
  clock: ClockPort,
  fx: Pick<EffectContext, 'signal' | 'timeoutMs'>,
  attempted: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return untilDeadline(clock, fx, attempted, (signal) => unlessAborted(work(signal), signal));
}

/** The same for work that cleans up and ends by itself soon after the signal. */
export async function untilDeadline<T>(
  clock: ClockPort,
  fx: Pick<EffectContext, 'signal' | 'timeoutMs'>,
  attempted: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const stopListening = onAbort(fx.signal, () => {
    const { reason } = fx.signal;
    const known =
      reason instanceof FaultError
        ? reason
        : new FaultError(fault('cancelled', `${attempted}: no longer wanted`));
    ended.abort(known);
  });
  const timer = clock.setTimeout(() => {
    ended.abort(new FaultError(fault('timedOut', `${attempted}: not done after ${fx.timeoutMs} ms`)));
  }, fx.timeoutMs);
  try {
    ended.signal.throwIfAborted();
    return await work(ended.signal);
  } finally {
    clock.clearTimeout(timer);
    stopListening();
  }
}
