/** Reports what a damaged journal may have lost, in Status and `troupe status`. */
import { join } from 'node:path';
import type { OpenReport } from '../../journal/journal.ts';

/**
 * Undefined if no damaged file is kept. The file itself is the mark, also of an earlier start, until an administrator
 * deletes it and restarts troupe (F18).
 */
export function lostFacts(
  { damagedKept }: Pick<OpenReport, 'damagedKept'>,
  directory: string,
): string | undefined {
  if (damagedKept.length === 0) return undefined;
  const files = damagedKept.map((name) => join(directory, name)).join(', ');
  return `the journal was damaged, and pods, containers and images may be missing: see troupe check; the damaged file is kept as ${files}, delete it when nothing is missing`;
}
