/** Deletes small directories of ours. */
import { join } from 'node:path';
import { hostLimits } from '../bounds.ts';
import { readOwnDirectory, removeEmpty, removeFile } from './state-files.ts';

/**
 * Deletes a directory in which no other process creates anything, with all below it; does not follow links.
 * Repeatable. One call for each entry, a few in parallel: Node's own `rm` stats each entry first and works
 * sequentially. Works by path, which bounds the depth (ENAMETOOLONG): a client may put a log below as many
 * directories as a path has room for.
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
