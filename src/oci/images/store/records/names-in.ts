/** Names in a directory of a store. */
import { storageLimits } from '../../../bounds.ts';
import { namesIfDirectory } from '../../../../host/files/names-of.ts';

/** Bounded; none when there is no directory of this path. */
export async function namesIn(path: string): Promise<readonly string[]> {
  return (await namesIfDirectory(path)).slice(0, storageLimits.dirEntries);
}
