/** Deleting small directories of ours. */
import { join } from 'node:path';
import { fail } from '../base/fault.ts';
import { hostLimits } from '../base/limits.ts';
import { readOwnDirectory, removeEmpty, removeFile } from './own-files.ts';

/**
 * Deletes a directory in which nobody else makes anything, with all below it; links are not followed. Can be repeated.
 * One call for each entry, a few side by side: Node's own `rm` looks at each before, and does one after the other.
 */
export async function removeDirectory(path: string, depth = 0): Promise<void> {
  if (depth > hostLimits.ownTreeDepth) fail('exhausted', `remove directory ${path}: nested too deep`, { subject: path });
  const entries = await readOwnDirectory(path);
  if (entries === undefined) return;
  for (let at = 0; at < entries.length; at += hostLimits.removedAtOnce) {
    const some = entries.slice(at, at + hostLimits.removedAtOnce);
    await Promise.all(some.map((entry) => (entry.isDirectory() ? removeDirectory(join(path, entry.name), depth + 1) : removeFile(join(path, entry.name)))));
  }
  await removeEmpty(path);
}
