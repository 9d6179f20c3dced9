import { portLimits } from '../../ports/bounds.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { Call } from '../directory/ask.ts';
import type { ContainerStage } from './container-stage.ts';

/** Calls the NRI plugins about a container or pod, with their time bound, as an effect of its actor. */
export function onPlugins<T>(
  { activity }: ContainerStage,
  address: string,
  attempted: string,
  call: Call,
  work: (fx: EffectContext) => Promise<T>,
): Promise<T> {
  const effect = { attempted, owner: address, effect: 'nri', timeoutMs: portLimits.pluginsMs };
  return activity.runForCall(call, effect, work);
}
