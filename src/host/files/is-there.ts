import { lstat } from 'node:fs/promises';
import { missingAs } from '../ffi/errno.ts';

/** Whether something has this name, be it a link to nowhere. Throws what else lstat(2) says: ENOTDIR below a file. */
export async function isThere(path: string): Promise<boolean> {
  return (await missingAs(lstat(path), undefined)) !== undefined;
}
