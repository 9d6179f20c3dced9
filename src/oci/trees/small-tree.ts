/**
 * A small tree deleted without a worker: one asynchronous call after the other, so that it holds one thread of libuv's pool at
 * most. Each directory is opened below the one that it is in, links not followed: whoever still writes there leads nowhere else.
 */
import { open, readdir, rmdir, unlink } from 'node:fs/promises';
import { isMountRoot } from '../../host/files/directory-entries.ts';
import { codeOf } from '../../host/ffi/errno.ts';
import { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } from '../../host/ffi/constants.ts';

/**
 * Deletes the tree, or a part of it and false when it has more than `entries` entries, or mounts. Holds a descriptor for each
 * level, so no more than entries. The directory that the path is in must be ours.
 */
export async function removeSmallTree(path: string, entries: number): Promise<boolean> {
  try {
    return (await removeDirectory(Buffer.from(path), entries)) >= 0;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return true;
    // whatever it is, the worker's way through descriptors either knows it or says it well
    return false;
  }
}

/** What is left of the budget, or -1. */
async function removeDirectory(path: Buffer, budget: number): Promise<number> {
  const directory = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
  let left: number;
  try {
    // only now: what is mounted from here on is not what was opened
    left = (await isMountRoot(path)) ? -1 : await removeBelow(`/proc/self/fd/${directory.fd}/`, budget);
  } finally {
    await directory.close();
  }
  if (left >= 0) await rmdir(path);
  return left;
}

/** Empties a directory. Names are bytes. */
async function removeBelow(directory: string, budget: number): Promise<number> {
  let left = budget;
  for (const entry of await readdir(directory, { withFileTypes: true, encoding: 'buffer' })) {
    left -= 1;
    if (left < 0) return -1;
    const child = Buffer.concat([Buffer.from(directory), entry.name]);
    if (entry.isDirectory()) left = await removeDirectory(child, left);
    else await unlink(child);
    if (left < 0) return -1;
  }
  return left;
}
