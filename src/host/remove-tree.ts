/** Deleting small directories of ours. */
import { readdir, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fail } from '../base/fault.ts';
import { hostLimits } from '../base/limits.ts';
import { codeOf } from './errno.ts';

/**
 * Deletes a directory in which nobody else makes anything, with all below it; links are not followed. Can be repeated.
 * One call for each entry, a few side by side: Node's own `rm` looks at each before, and does one after the other.
 */
export async function removeDirectory(path: string, depth = 0): Promise<void> {
  if (depth > hostLimits.ownTreeDepth) fail('exhausted', `remove directory ${path}: nested too deep`, { subject: path });
  try {
    const entries = await readdir(path, { withFileTypes: true });
    for (let at = 0; at < entries.length; at += hostLimits.removedAtOnce) {
      const some = entries.slice(at, at + hostLimits.removedAtOnce);
      await Promise.all(some.map((entry) => (entry.isDirectory() ? removeDirectory(join(path, entry.name), depth + 1) : removeFile(join(path, entry.name)))));
    }
    await rmdir(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** Deletes what has this name and is no directory; nothing there is success. */
export async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}
