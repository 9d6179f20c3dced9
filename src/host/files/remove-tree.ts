/** Deleting small directories of ours. */
import { join } from 'node:path';
import { hostLimits } from '../bounds.ts';
import { readOwnDirectory, removeEmpty, removeFile } from './state-files.ts';

/**
 * Deletes a directory in which nobody else makes anything, with all below it; links are not followed. Can be repeated.
 * One call for each entry, a few side by side: Node's own `rm` looks at each before, and does one after the other. By paths,
 * which the kernel bounds (ENAMETOOLONG): a client may name a log in as many directories as a path has room for.
 */
export async function removeDirectory(path: string): Promise<void> {
  const entries = await readOwnDirectory(path);
  if (entries === undefined) return;
  for (let at = 0; at < entries.length; at += hostLimits.removedAtOnce) {
    const some = entries.slice(at, at + hostLimits.removedAtOnce);
    await Promise.all(
      some.map((entry) =>
        entry.isDirectory() ? removeDirectory(join(path, entry.name)) : removeFile(join(path, entry.name)),
      ),
    );
  }
  await removeEmpty(path);
}
