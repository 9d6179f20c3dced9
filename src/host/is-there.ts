import { lstat } from 'node:fs/promises';
import { codeOf } from './errno.ts';

/** Whether something has this name, be it a link to nowhere. Throws what else lstat(2) says: ENOTDIR below a file. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
