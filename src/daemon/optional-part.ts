/**
 * Parts of the start that the daemon can do without. What a start needs is the lock, a readable journal and the CRI's
 * socket; whatever else fails or does not answer is a condition, and the daemon serves (docs/start.md).
 */
import type { ClockPort } from '../actors/ports/clock.ts';
import type { Conditions } from '../base/conditions.ts';
import { FaultError, toFault } from '../base/fault.ts';
import { launchLimits } from '../base/limits.ts';
import { within } from '../oci/storage/within.ts';

export interface PartReport {
  readonly clock: ClockPort;
  readonly conditions: Pick<Conditions, 'report' | 'clear'>;
}

/**
 * What the work gives, or `without` when it fails or has not answered after `partMs`; then the part is reported under its
 * name. An error of our own configuration (`invalidRequest`) is thrown: the administrator must hear of it at once.
 */
export async function orWithout<T>({ clock, conditions }: PartReport, part: string, work: () => Promise<T>, without: T): Promise<T> {
  const bound = { signal: new AbortController().signal, timeoutMs: launchLimits.partMs };
  return unlessFailed(conditions, part, () => within(clock, bound, `start ${part}`, work), without);
}

/** The same for work that has bounds of its own. */
export async function unlessFailed<T>(conditions: PartReport['conditions'], part: string, work: () => Promise<T>, without: T): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof FaultError && thrown.fault.kind === 'invalidRequest') throw thrown;
    conditions.report({ type: 'PartsStarted', subject: part, reason: toFault(thrown).message });
    return without;
  }
}
