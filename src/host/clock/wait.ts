/** Waits on the given clock, each with a bound. */
import type { ClockPort } from '../../ports/clock.ts';
import { onAbort } from '../../base/abort.ts';
import { fail } from '../../base/fault.ts';

/** Resolves after `ms`; rejects with `cancelled` when the signal aborts first. */
export function pause(clock: ClockPort, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = clock.setTimeout(() => {
      stopListening();
      resolve();
    }, ms);
    const stopListening = onAbort(signal, () => {
      clock.clearTimeout(timer);
      reject(new CancelledWait());
    });
  });
}

/**
 * Resolves once the event loop has polled every descriptor: timers run before pipes, and after a stall a pipe
 * may hold data that was written long ago.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/**
 * The wait ended because its result is no longer wanted; callers turn it into a Fault that names the work.
 */
class CancelledWait extends Error {
  constructor() {
    super('the result is no longer wanted');
    this.name = 'CancelledWait';
  }
}

export interface WaitBound {
  readonly clock: ClockPort;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Returns the promise's value, or `timedOut` or `cancelled` when that comes first. The promise is not
 * stopped.
 */
export async function within<T>(
  bound: WaitBound,
  promise: Promise<T>,
): Promise<T | 'timedOut' | 'cancelled'> {
  const { clock, timeoutMs, signal } = bound;
  let cleanUp = (): void => undefined;
  const limit = new Promise<'timedOut' | 'cancelled'>((resolve) => {
    const timer = clock.setTimeout(() => resolve('timedOut'), timeoutMs);
    const stopListening = onAbort(signal, () => resolve('cancelled'));
    cleanUp = (): void => {
      clock.clearTimeout(timer);
      stopListening();
    };
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    cleanUp();
  }
}

/**
 * Calls `check` repeatedly, with pauses doubled from `firstMs` to `lastMs`, until it returns a value;
 * undefined once `bound.timeoutMs` has passed. Throws `cancelled` on abort.
 */
export async function poll<T>(
  bound: WaitBound & { readonly firstMs: number; readonly lastMs: number; readonly attempted: string },
  check: () => Promise<T | undefined> | T | undefined,
): Promise<T | undefined> {
  const { clock, signal } = bound;
  const deadline = clock.monoMs() + bound.timeoutMs;
  let waitMs = bound.firstMs;
  for (;;) {
    const found = await check();
    if (found !== undefined) return found;
    const leftMs = deadline - clock.monoMs();
    if (leftMs <= 0) return undefined;
    try {
      await pause(clock, Math.min(waitMs, leftMs), signal);
    } catch (error) {
      if (error instanceof CancelledWait) fail('cancelled', `${bound.attempted}: ${error.message}`);
      throw error;
    }
    waitMs = Math.min(waitMs * 2, bound.lastMs);
  }
}
