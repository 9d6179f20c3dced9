import { actorLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { ContainerContext } from './container.context.ts';

type Args = { readonly context: ContainerContext };

/**
 * Limits a delay to what setTimeout can do: above 2³¹−1 ms, and for NaN, it fires at once. `graceMaxMs` is ten days.
 */
export function clampDelay(ms: number): number {
  if (Number.isNaN(ms) || ms < 0) return 0;
  return Math.min(ms, portLimits.graceMaxMs);
}

function grace({ context }: Args): number {
  return clampDelay((context.killAtMonoMs ?? 0) - context.askedAtMonoMs);
}

export const containerDelays = {
  /** Milliseconds of the grace period that were left at the last stop command. */
  grace,
  startGivenUp: (): number => actorLimits.startGivenUpMs,
  // the wait for the thaw comes before the stop signal: it is no longer than the grace period itself
  checkpointThaw: (args: Args): number => Math.min(actorLimits.checkpointThawMs, grace(args)),
  stopRecord: (): number => actorLimits.stopRecordMs,
  killAgain: (): number => actorLimits.killAgainMs,
};
