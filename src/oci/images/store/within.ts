/** The bound and the signal of one port call, as one signal. */
import type { ClockPort } from '../../../ports/clock.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import { FaultError, fault } from '../../../base/fault.ts';

/**
 * Runs `work` with a signal that fires when the caller gives up or its time is over, and settles then at the latest:
 * a system call on a dead disk can't be stopped, only left behind. `attempted` begins the message.
 */
export function within<T>(
  clock: ClockPort,
  fx: Pick<EffectContext, 'signal' | 'timeoutMs'>,
  attempted: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return withSignal(clock, fx, attempted, (signal) => unlessAborted(work(signal), signal));
}

/** The same for work that ends by itself, cleaned up, soon after the signal. */
export async function withSignal<T>(
  clock: ClockPort,
  fx: Pick<EffectContext, 'signal' | 'timeoutMs'>,
  attempted: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const ended = new AbortController();
  const cancelled = (): void => {
    const { reason } = fx.signal;
    const known =
      reason instanceof FaultError
        ? reason
        : new FaultError(fault('cancelled', `${attempted}: no longer wanted`));
    ended.abort(known);
  };
  if (fx.signal.aborted) cancelled();
  fx.signal.addEventListener('abort', cancelled, { once: true });
  const timer = clock.setTimeout(() => {
    ended.abort(new FaultError(fault('timedOut', `${attempted}: not done after ${fx.timeoutMs} ms`)));
  }, fx.timeoutMs);
  try {
    ended.signal.throwIfAborted();
    return await work(ended.signal);
  } finally {
    clock.clearTimeout(timer);
    fx.signal.removeEventListener('abort', cancelled);
  }
}

/** What `promise` gives, or the signal's reason if that comes first; the promise is then left to itself. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const stop = (): void => {
      reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    };
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', stop);
    });
  });
}
