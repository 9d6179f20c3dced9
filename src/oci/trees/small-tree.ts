/**
 * Deletes a small tree without a worker. Asynchronous calls run one after another, so that at most one thread of
 * libuv's pool is busy. Each directory is opened below its parent's descriptor without following links, and a mount is
 * not entered: somebody who still writes there cannot redirect the deletion. An entry costs one call in the pool, a
 * directory two more; through Node's own functions, which work by path, it was twice that.
 */
import { closeSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { openSubdirectoryLater, readBatchLater, unlinkLater } from '../../host/files/directory-entries.ts';
import type { BatchEntry } from '../../host/files/directory-entries.ts';
import { must } from '../../host/ffi/errno.ts';
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_PATH } from '../../host/ffi/constants.ts';
import { callAsync, libc } from '../../host/ffi/ffi.ts';
import { storageLimits } from '../bounds.ts';

/** An entry that is deleted by its path below the tree's root, before anything is listed. */
export interface KnownEntry {
  readonly path: string;
  readonly isDirectory: boolean;
}

/**
 * Deletes the tree and returns true. Returns false, after deleting a part, if it has more than `entries` entries or a
 * mount. Holds one descriptor per level, so at most `entries`. The parent directory of `path` must be the daemon's own.
 *
 * `known`, deepest first, may exist; only the daemon and the kernel may write in the directories on these paths.
 */
export async function removeSmallTree(
  path: string,
  entries: number,
  known: readonly KnownEntry[] = [],
): Promise<boolean> {
  try {
    const opened = await callAsync(libc.openat, AT_FDCWD, dirname(path), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    const parent = must(opened, 'open directory', dirname(path));
    try {
      const name = Buffer.from(basename(path)).toString('latin1');
      return (await new SmallTree(known).remove(parent, name, entries)) >= 0;
    } finally {
      closeSync(parent);
    }
  } catch {
    // let the worker try: it handles more cases and reports errors with the path
    return false;
  }
}

class SmallTree {
  readonly #batch = Buffer.allocUnsafeSlow(storageLimits.smallTreeBatchBytes);
  #known: readonly KnownEntry[];

  constructor(known: readonly KnownEntry[]) {
    this.#known = known;
  }

  /** Deletes a directory. Returns the rest of the budget, or -1 if it was exceeded. Throws if there is a mount. */
  async remove(parent: number, name: string, budget: number): Promise<number> {
    const fd = await openSubdirectoryLater(parent, name);
    if (fd === undefined) return budget;
    let left: number;
    try {
      for (const { path, isDirectory } of this.#takeKnown()) {
        // such as ENOTEMPTY: what is left is listed
        await unlinkLater(fd, path, isDirectory).catch(() => undefined);
      }
      left = await this.#empty(fd, budget);
    } finally {
      // only read from, so that closing it waits for nothing
      closeSync(fd);
    }
    // fails if there is more than was listed
    if (left >= 0) await unlinkLater(parent, name, true);
    return left;
  }

  /** They lie below the root, which is opened first. */
  #takeKnown(): readonly KnownEntry[] {
    const known = this.#known;
    this.#known = [];
    return known;
  }

  /** Empties an open directory. Returns the rest of the budget, or -1. */
  async #empty(fd: number, budget: number): Promise<number> {
    const entries = await this.#list(fd, budget);
    if (entries === undefined) return -1;
    let left = budget - entries.length;
    for (const { name, isDirectory } of entries) {
      // an entry that somebody else has just deleted does not end the deletion of the others
      if (isDirectory === true || (await unlinkLater(fd, name, false)) === 'isDirectory')
        left = await this.remove(fd, name, left);
      if (left < 0) return -1;
    }
    return left;
  }

  /** Undefined for more than `entriesMax` entries. */
  async #list(fd: number, entriesMax: number): Promise<readonly BatchEntry[] | undefined> {
    const found: BatchEntry[] = [];
    for (;;) {
      const { entries, isEnd } = await readBatchLater(fd, this.#batch);
      found.push(...entries);
      if (found.length > entriesMax) return undefined;
      if (isEnd) return found;
    }
  }
}
