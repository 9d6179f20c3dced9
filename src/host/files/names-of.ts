/** The names in a directory, as a list that may be empty. */
import { readdir } from 'node:fs/promises';
import { missingAs, onlyAbsent } from '../ffi/errno.ts';

/** None when nothing is at the path. Of a directory of ours: a file in its place is an error. */
export async function namesOf(directory: string): Promise<readonly string[]> {
  return missingAs(readdir(directory), []);
}

/** None when nothing is at the path, or no directory. */
export async function namesIfDirectory(path: string): Promise<readonly string[]> {
  return (await readdir(path).catch(onlyAbsent)) ?? [];
}
