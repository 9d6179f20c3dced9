/**
 * Deletes a small tree without a worker. Asynchronous calls run one after another, so that at most one thread of
 * libuv's pool is busy. Each directory is opened below its parent without following links: somebody who still writes
 * there cannot redirect the deletion.
 */
import { open, readdir, rmdir, unlink } from 'node:fs/promises';
import { isMountRoot } from '../../host/files/directory-entries.ts';
import { codeOf, missingAs } from '../../host/ffi/errno.ts';
import { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } from '../../host/ffi/constants.ts';

/**
 * Deletes the tree and returns true. Returns false, after deleting a part, if it has more than `entries` entries or a
 * mount. Holds one descriptor per level, so at most `entries`. The parent directory of `path` must be the daemon's own.
 */
export async function removeSmallTree(path: string, entries: number): Promise<boolean> {
  try {
    return (await removeDirectory(Buffer.from(path), entries)) >= 0;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return true;
    // let the worker try: it handles more cases and reports errors with the path
    return false;
  }
}

/** Deletes a directory. Returns the rest of the budget, or -1 if it was exceeded or there is a mount. */
async function removeDirectory(path: Buffer, budget: number): Promise<number> {
  // many are empty: one call in the pool in place of six. The kernel removes no directory with content or a mount
  if (await isRemoved(path)) return budget;
  const directory = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
  let left: number;
  try {
    // check after the open: something mounted later is not what was opened
    left = (await isMountRoot(path)) ? -1 : await removeBelow(`/proc/self/fd/${directory.fd}/`, budget);
  } finally {
    await directory.close();
  }
  if (left >= 0) await rmdir(path);
  return left;
}

async function isRemoved(path: Buffer): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST', 'EBUSY', 'ENOTDIR'].includes(codeOf(error) ?? '')) return false;
    throw error;
  }
}

/** Empties a directory. Returns the rest of the budget, or -1. Names are bytes. */
async function removeBelow(directory: string, budget: number): Promise<number> {
  let left = budget;
  for (const entry of await readdir(directory, { withFileTypes: true, encoding: 'buffer' })) {
    left -= 1;
    if (left < 0) return -1;
    const child = Buffer.concat([Buffer.from(directory), entry.name]);
    // an entry that somebody else has just deleted does not end the deletion of the others
    if (entry.isDirectory()) left = await missingAs(removeDirectory(child, left), left);
    else await missingAs(unlink(child), undefined);
    if (left < 0) return -1;
  }
  return left;
}
