/** Which actors hang: the rule of `ps --stuck`. Pure. */
import type { Actor, Wait } from '../../gen/introspection/v1/introspection_pb.ts';
import { QUARANTINED } from '../../actors/directory/states.ts';
import { cliLimits } from '../bounds.ts';

/**
 * Effects whose length a user has chosen: the grace period of a container, and a command in it. They hang only beyond
 * their deadlines.
 */
const CHOSEN: ReadonlySet<string> = new Set(['grace', 'exec', 'execSync']);

const SLOW_NS = BigInt(cliLimits.slowMs) * 1_000_000n;

/** It waits for longer than usual or beyond a deadline, its cleanup is pending, or it crashed too often. */
export function isStuck(actor: Actor, nowNs: bigint): boolean {
  if (actor.debts.length > 0 || actor.state === QUARANTINED) return true;
  return actor.waits.some(
    (wait) => wait.deadlineNs < nowNs || (isSlow(wait, nowNs) && !isDownloading(actor)),
  );
}

function isSlow({ effect, sinceNs }: Wait, nowNs: bigint): boolean {
  return !CHOSEN.has(effect) && nowNs - sinceNs > SLOW_NS;
}

/** A pull takes as long as its image is large. */
function isDownloading({ layers }: Actor): boolean {
  return layers.some(({ bytesPerSecond }) => bytesPerSecond > 0n);
}
