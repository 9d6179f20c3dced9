import { readdir } from 'node:fs/promises';
import { codeOf } from './errno.ts';

/** The names in a directory; none when there is no such directory. */
export async function namesOf(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}
