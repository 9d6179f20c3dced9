/** A bound of its own for plugins within a longer effect, so that they do not use up what its other steps need. */
import type { ClockPort } from '../ports/clock.ts';
import type { EffectContext } from '../ports/effect.ts';
import { FaultError, fault } from '../base/fault.ts';
import { nriLimits } from './bounds.ts';
import { portLimits } from '../ports/bounds.ts';

/** `work`, whose signal also ends after `pluginsMs`; rejects with `timedOut` then. */
export async function withPluginsBound<T>(
  clock: ClockPort,
  attempted: string,
  fx: EffectContext,
  work: (fx: EffectContext) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const late = new FaultError(
    fault('timedOut', `${attempted}: nri plugins have taken more than ${portLimits.pluginsMs} ms`),
  );
  const timer = clock.setTimeout(() => controller.abort(late), portLimits.pluginsMs);
  try {
    return await work({ ...fx, signal: AbortSignal.any([fx.signal, controller.signal]) });
  } catch (thrown) {
    // what stopped says only that it is no longer wanted
    throw controller.signal.aborted && !fx.signal.aborted ? late : thrown;
  } finally {
    clock.clearTimeout(timer);
  }
}

/** ms that a plugin has for all calls of its Synchronize, by `nri.request_timeout_ms`. */
export function synchronizeMs(requestMs: number): number {
  return Math.max(portLimits.pluginsMs, nriLimits.synchronizeRequests * requestMs);
}
