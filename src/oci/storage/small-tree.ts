/** A small tree deleted without a worker: one asynchronous call after the other, so that it holds one thread of libuv's pool at most. */
import { readdir, rmdir, unlink } from 'node:fs/promises';
import { isMountRoot } from '../../host/directory-entries.ts';
import { codeOf } from '../../host/errno.ts';

/**
 * Deletes the tree, or a part of it and false when it has more than `entries` entries, names too long to be reached
 * by a path, or mounts. The path must be one that nobody else writes to (the trash).
 */
export async function removeSmallTree(path: string, entries: number): Promise<boolean> {
  try {
    if (await isMountRoot(Buffer.from(path))) return false;
    const left = await removeBelow(Buffer.from(path), entries);
    if (left < 0) return false;
    await rmdir(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return true;
    // whatever it is, the worker's way through descriptors either knows it or says it well
    return false;
  }
}

/** Empties a directory; what is left of the budget, or -1. Names are bytes. */
async function removeBelow(path: Buffer, budget: number): Promise<number> {
  let left = budget;
  for (const entry of await readdir(path, { withFileTypes: true, encoding: 'buffer' })) {
    left -= 1;
    if (left < 0) return -1;
    const child = Buffer.concat([path, Buffer.from('/'), entry.name]);
    if (!entry.isDirectory()) {
      await unlink(child);
      continue;
    }
    if (await isMountRoot(child)) return -1;
    left = await removeBelow(child, left);
    if (left < 0) return -1;
    await rmdir(child);
  }
  return left;
}
