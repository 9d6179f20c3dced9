/**
 * Deletes and measures trees through directory descriptors, for worker threads: no path is too long, no symlink is
 * followed.
 */
import { closeSync } from 'node:fs';
import { storageLimits } from '../bounds.ts';
import type { ByteString } from '../../base/byte-string.ts';
import { openOwnParent } from './own-directory.ts';
import { measureEach } from './tree-measure.ts';
import type { TreeSize } from './tree-measure.ts';
import { removeTree } from './tree-removal.ts';
import type { Removal, RemovalOptions } from './tree-removal.ts';
import { sumOf } from './whole-figures.ts';

/**
 * Deletes the entry `name` of the directory `fd` with everything below. Succeeds if it does not exist. Throws the first
 * failure.
 */
export function removeTreeAt(fd: number, name: ByteString): void {
  const { failed, error } = finished(removeTree(fd, name, { isTrash: false }));
  if (failed > 0) throw error;
}

/** Deletes a tree by its path. Succeeds if the tree or its parent does not exist. */
export function removePath(path: string): void {
  const found = openOwnParent(path);
  if (found === undefined) return;
  try {
    removeTreeAt(found.parent, found.name);
  } finally {
    closeSync(found.parent);
  }
}

/** Deletes a tree by its path in steps. Failures are in the result. By default the path is in the trash. */
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

/** Runs all steps of a generator and returns its result. */
export function finished<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/**
 * Measures the trees at `paths`, including the top directories. Entries that disappear meanwhile are skipped, and other
 * file systems are not entered. Runs without pauses: use it for trees of the daemon's, or if nobody else needs this
 * thread.
 */
export function measureTrees(
  paths: readonly string[],
  maxEntries: number = storageLimits.measuredEntries,
): TreeSize {
  return sumOf(finished(measureEach(paths, maxEntries)));
}
