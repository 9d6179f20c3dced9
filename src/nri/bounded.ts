/**
 * A time limit for plugins within a longer effect, so that they do not use up the time of its other steps.
 */
import type { ClockPort } from '../ports/clock.ts';
import type { EffectContext } from '../ports/effect.ts';
import { FaultError, fault } from '../base/fault.ts';
import { nriLimits } from './bounds.ts';
import { portLimits } from '../ports/bounds.ts';

/** Runs `work` with a signal that also aborts after `pluginsMs`; then rejects with `timedOut`. */
export async function withPluginsBound<T>(
  clock: ClockPort,
  attempted: string,
  fx: EffectContext,
  work: (fx: EffectContext) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const late = new FaultError(
    fault('timedOut', `${attempted}: timed out after ${portLimits.pluginsMs} ms waiting for nri plugins`),
  );
  const timer = clock.setTimeout(() => controller.abort(late), portLimits.pluginsMs);
  try {
    return await work({ ...fx, signal: AbortSignal.any([fx.signal, controller.signal]) });
  } catch (thrown) {
    // `work` itself rejects only with an abort, which does not say why
    throw controller.signal.aborted && !fx.signal.aborted ? late : thrown;
  } finally {
    clock.clearTimeout(timer);
  }
}

/** Milliseconds that a plugin has for all calls of its Synchronize, given `nri.request_timeout_ms`. */
export function synchronizeMs(requestMs: number): number {
  return Math.max(portLimits.pluginsMs, nriLimits.synchronizeRequests * requestMs);
}
