import { actorLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { ContainerContext } from './container.context.ts';

type Args = { readonly context: ContainerContext };

/** setTimeout fires at once above 2³¹−1 ms, and for NaN: a wait of ten days is long enough. */
export function clampDelay(ms: number): number {
  if (Number.isNaN(ms) || ms < 0) return 0;
  return Math.min(ms, portLimits.graceMaxMs);
}

export const containerDelays = {
  /** What is left of the grace, counted from the last stop command. */
  grace: ({ context }: Args): number => clampDelay((context.killAtMonoMs ?? 0) - context.askedAtMonoMs),
  stopRecord: (): number => actorLimits.stopRecordMs,
  killAgain: (): number => actorLimits.killAgainMs,
};
