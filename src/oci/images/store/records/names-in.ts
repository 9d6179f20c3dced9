/** Lists directories of a store. */
import { storageLimits } from '../../../bounds.ts';
import { namesIfDirectory } from '../../../../host/files/names-of.ts';

/** The names in a directory, up to a bound; empty if the directory does not exist. */
export async function namesIn(path: string): Promise<readonly string[]> {
  return (await namesIfDirectory(path)).slice(0, storageLimits.dirEntries);
}
