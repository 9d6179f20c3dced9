/** Names in a directory of a store. */
import { storageLimits } from '../../base/limits.ts';
import { namesOf } from '../../host/names-of.ts';

/** Bounded; none when the directory is not there. */
export async function namesIn(path: string): Promise<readonly string[]> {
  return (await namesOf(path)).slice(0, storageLimits.dirEntries);
}
