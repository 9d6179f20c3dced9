/** Names in a directory of a store. */
import { readdir } from 'node:fs/promises';
import { storageLimits } from '../../base/limits.ts';
import { codeOf } from '../../host/errno.ts';

/** Bounded; none when the directory is not there. */
export async function namesIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).slice(0, storageLimits.dirEntries);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}
