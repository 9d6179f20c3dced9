/** Containers and pause processes whose files an observation could not read: a condition until they can be read, or are removed. */
import { toFault } from '../../../base/fault.ts';
import type { DriverParts } from './parts.ts';

export type Unreadable = 'container' | 'pause process';

/** With the id, of the container or of the pause process's sandbox, the condition's subject. */
export function reportUnreadable(
  { conditions, log }: Pick<DriverParts, 'conditions' | 'log'>,
  what: Unreadable,
  id: string,
  error: unknown,
): void {
  const reason = `read its files: ${toFault(error).message}`;
  if (conditions === undefined) log.error({ id, reason }, `files of a ${what} can not be read`);
  else conditions.report({ type: 'DebrisRemoved', subject: `${what} ${id}`, reason });
}

export function clearUnreadable(
  { conditions }: Pick<DriverParts, 'conditions'>,
  what: Unreadable,
  id: string,
): void {
  conditions?.clear('DebrisRemoved', `${what} ${id}`);
}
