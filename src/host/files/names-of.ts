/** The names in a directory. */
import { readdir } from 'node:fs/promises';
import { missingAs, onlyAbsent } from '../ffi/errno.ts';

/** Empty when the path does not exist. For directories of ours: a file in its place is an error. */
export async function namesOf(directory: string): Promise<readonly string[]> {
  return missingAs(readdir(directory), []);
}

/** Empty when the path does not exist or is not a directory. */
export async function namesIfDirectory(path: string): Promise<readonly string[]> {
  return (await readdir(path).catch(onlyAbsent)) ?? [];
}
