/** Calls on paths that users name (volumes, log directories): a dead NFS behind one must not hold the caller for ever. */
import type { ClockPort } from '../../actors/ports/clock.ts';
import type { EffectContext } from '../../actors/ports/effect.ts';
import { fail } from '../../base/fault.ts';
import { inPool } from '../../host/pool.ts';

/**
 * The result of `work`, or `timedOut` after the effect's bound, or `cancelled` when its signal aborts. The work itself
 * cannot be stopped (a thread stands in the kernel): it keeps its slot in the pool until the kernel answers, so that
 * calls on the same `mountPoint` use a few threads at most, and what it gives later is dropped.
 */
export async function onUserPath<T>(
  work: () => Promise<T>,
  options: { readonly mountPoint: string; readonly attempted: string; readonly clock: ClockPort; readonly fx: EffectContext },
): Promise<T> {
  const { clock, fx, attempted, mountPoint } = options;
  if (fx.signal.aborted) fail('cancelled', `${attempted}: no longer wanted`, { subject: mountPoint });
  let stop: (() => void) | undefined;
  const given = new Promise<'timedOut' | 'cancelled'>((resolve) => {
    const timer = clock.setTimeout(() => resolve('timedOut'), fx.timeoutMs);
    const onAbort = (): void => resolve('cancelled');
    fx.signal.addEventListener('abort', onAbort, { once: true });
    stop = () => {
      clock.clearTimeout(timer);
      fx.signal.removeEventListener('abort', onAbort);
    };
  });
  const running = inPool(mountPoint, work).then((value) => ({ value }));
  try {
    const first = await Promise.race([running, given]);
    if (typeof first === 'object') return first.value;
    running.catch(() => undefined);
    return first === 'timedOut'
      ? fail('timedOut', `${attempted}: the file system at ${mountPoint} has not answered within ${fx.timeoutMs} ms`, { subject: mountPoint })
      : fail('cancelled', `${attempted}: no longer wanted`, { subject: mountPoint });
  } finally {
    stop?.();
  }
}
