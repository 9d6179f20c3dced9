import type { EffectContext } from '../../src/ports/effect.ts';
import { EVENT_MS } from './patience.ts';

/** The context of an effect that nobody aborts, and whose bound only ends what hangs. */
export function fxOf(timeoutMs = EVENT_MS, signal = new AbortController().signal): EffectContext {
  return { signal, timeoutMs, note: () => undefined };
}
