/**
 * Times that clients sort by. They come from the wall clock, which may be set back, also between two boots of the
 * daemon; a later event must never get an earlier time (F78, I8).
 */
import type { ClockPort } from '../../ports/clock.ts';
import type { ExitFact } from '../../ports/journal.ts';

/** The latest of these times, in nanoseconds; unknown ones are ignored. */
export function latest(first: bigint, ...others: readonly (bigint | undefined)[]): bigint {
  let last = first;
  for (const one of others) if (one !== undefined && one > last) last = one;
  return last;
}

/**
 * The creation time of a new sandbox or container: later than that of all `others` of its kind. The kubelet takes the
 * newest sandbox of a pod as the current one, and counts a container's attempts from the newest.
 */
export function creationNs(
  clock: Pick<ClockPort, 'nowNs'>,
  others: readonly { readonly createdAtNs: bigint }[],
): bigint {
  let afterNs = 0n;
  for (const { createdAtNs } of others) if (createdAtNs >= afterNs) afterNs = createdAtNs + 1n;
  return latest(clock.nowNs(), afterNs);
}

/** The exit, with an end no earlier than any of these times. */
export function endedAfter(exit: ExitFact, ...times: readonly (bigint | undefined)[]): ExitFact {
  const finishedAtNs = latest(exit.finishedAtNs, ...times);
  return finishedAtNs === exit.finishedAtNs ? exit : { ...exit, finishedAtNs };
}
