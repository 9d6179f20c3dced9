/** Whole trees deleted and measured through directory descriptors, for worker threads: no path is too long, no symlink is followed. */
import { closeSync } from 'node:fs';
import { storageLimits } from '../bounds.ts';
import type { ByteString } from '../../base/byte-string.ts';
import { openOwnParent } from './own-directory.ts';
import { measureEach } from './tree-measure.ts';
import type { TreeSize } from './tree-measure.ts';
import { removeTree } from './tree-removal.ts';
import type { Removal, RemovalOptions } from './tree-removal.ts';
import { sumOf } from './whole-figures.ts';

/** Deletes the entry `name` of the directory `fd` with all below it; succeeds when it is gone, throws the first failure. */
export function removeTreeAt(fd: number, name: ByteString): void {
  const { failed, error } = finished(removeTree(fd, name, { isTrash: false }));
  if (failed > 0) throw error;
}

/** Deletes a tree by its path; succeeds when it, or the directory it is in, is gone. */
export function removePath(path: string): void {
  const found = openOwnParent(path);
  if (found === undefined) return;
  try {
    removeTreeAt(found.parent, found.name);
  } finally {
    closeSync(found.parent);
  }
}

/** The same in steps, of a path in the trash unless the options say otherwise; failures are in the result. */
export function* removePathInSteps(
  path: string,
  options: RemovalOptions = { isTrash: true },
): Generator<void, Removal> {
  const found = openOwnParent(path);
  if (found === undefined) return { entries: 0, freedBytes: 0, failures: [], failed: 0 };
  try {
    return yield* removeTree(found.parent, found.name, options);
  } finally {
    closeSync(found.parent);
  }
}

/** Runs work that is made in steps to its end. */
export function finished<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/**
 * Sums up the tree below each of `paths`, the directories themselves included. Entries that vanish meanwhile are left
 * out, other file systems are not entered. At once: of trees of ours, or where nobody else waits for this thread.
 */
export function measureTrees(
  paths: readonly string[],
  maxEntries: number = storageLimits.measuredEntries,
): TreeSize {
  return sumOf(finished(measureEach(paths, maxEntries)));
}
