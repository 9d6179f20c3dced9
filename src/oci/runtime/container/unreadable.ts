/**
 * Conditions for containers and pause processes whose files cannot be read. They are cleared when the files become
 * readable or are removed.
 */
import { toFault } from '../../../base/fault.ts';
import type { DriverParts } from './parts.ts';

export type Unreadable = 'container' | 'pause process';

/** `id` is that of the container, or of the pause process's sandbox; it becomes part of the condition's subject. */
export function reportUnreadable(
  { conditions, log }: Pick<DriverParts, 'conditions' | 'log'>,
  what: Unreadable,
  id: string,
  error: unknown,
): void {
  const reason = `read files: ${toFault(error).message}`;
  if (conditions === undefined) log.error({ id, reason }, `read files of a ${what} failed`);
  else conditions.report({ type: 'DebrisRemoved', subject: `${what} ${id}`, reason });
}

export function clearUnreadable(
  { conditions }: Pick<DriverParts, 'conditions'>,
  what: Unreadable,
  id: string,
): void {
  conditions?.clear('DebrisRemoved', `${what} ${id}`);
}
