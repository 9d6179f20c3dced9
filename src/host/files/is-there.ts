import { lstat } from 'node:fs/promises';
import { missingAs } from '../ffi/errno.ts';

/**
 * Whether the path exists, be it a dangling link. Throws other errors of lstat(2), such as ENOTDIR below a
 * file.
 */
export async function isThere(path: string): Promise<boolean> {
  return (await missingAs(lstat(path), undefined)) !== undefined;
}
