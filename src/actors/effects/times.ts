/**
 * Times that clients order by. They are told by the wall clock, which somebody may set back, also between two lives of the
 * daemon; what came later is never told as earlier (F78, I8).
 */
import type { ClockPort } from '../../ports/clock.ts';
import type { ExitFact } from '../../ports/journal.ts';

/** The last of these, in nanoseconds; one that is not known does not count. */
export function latest(first: bigint, ...others: readonly (bigint | undefined)[]): bigint {
  let last = first;
  for (const one of others) if (one !== undefined && one > last) last = one;
  return last;
}

/**
 * When what is being made now was created: later than all of its kind that there is. The kubelet takes the newest sandbox
 * of a pod for the present one, and counts a container's attempts on from the newest.
 */
export function creationNs(
  clock: Pick<ClockPort, 'nowNs'>,
  others: readonly { readonly createdAtNs: bigint }[],
): bigint {
  let afterNs = 0n;
  for (const { createdAtNs } of others) if (createdAtNs >= afterNs) afterNs = createdAtNs + 1n;
  return latest(clock.nowNs(), afterNs);
}

/** The exit, not before any of these. */
export function endedAfter(exit: ExitFact, ...times: readonly (bigint | undefined)[]): ExitFact {
  const finishedAtNs = latest(exit.finishedAtNs, ...times);
  return finishedAtNs === exit.finishedAtNs ? exit : { ...exit, finishedAtNs };
}
