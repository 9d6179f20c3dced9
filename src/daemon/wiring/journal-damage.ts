/** What a damaged journal may have taken, said where an admin looks. */
import { join } from 'node:path';
import type { OpenReport } from '../../journal/journal.ts';

/**
 * Undefined where no damaged file is kept. The file is the mark: it tells of an earlier start as well, until somebody has
 * looked, deleted it, and started anew (F18).
 */
export function lostFacts(
  { damagedKept }: Pick<OpenReport, 'damagedKept'>,
  directory: string,
): string | undefined {
  if (damagedKept.length === 0) return undefined;
  const files = damagedKept.map((name) => join(directory, name)).join(', ');
  return `the journal was damaged, and pods, containers and images that it knew may be forgotten: see troupe check; what it was is kept as ${files}, delete it once nothing is missed`;
}
