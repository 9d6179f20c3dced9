/** Empties a trash directory in steps. For worker threads. */
import { closeSync, openSync } from 'node:fs';
import { toFault } from '../../base/fault.ts';
import { conditionLimits } from '../../base/bounds.ts';
import { readBatch } from '../../host/files/directory-entries.ts';
import { codeOf } from '../../host/ffi/errno.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '../../host/ffi/constants.ts';
import { shown } from '../../base/byte-string.ts';
import { removeTree } from './tree-removal.ts';

export interface Emptied {
  readonly entries: number;
  readonly freedBytes: number;
  /** What could not be deleted and why, up to as many as a condition shows. Names are printable. */
  readonly kept: readonly {
    readonly name: string;
    readonly failures: readonly string[];
    readonly failed: number;
  }[];
  /** Why reading the directory failed; undefined if it was read to its end. */
  readonly problem: string | undefined;
}

/**
 * Deletes each entry of a directory of the daemon's. A failure does not stop the rest. Throws if the directory cannot
 * be opened.
 */
export function* emptyDirectory(directory: string): Generator<void, Emptied> {
  let fd: number;
  try {
    fd = openSync(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return { entries: 0, freedBytes: 0, kept: [], problem: undefined };
    throw error;
  }
  try {
    return yield* emptyEach(fd);
  } finally {
    closeSync(fd);
  }
}

function* emptyEach(fd: number): Generator<void, Emptied> {
  let entries = 0;
  let freedBytes = 0;
  const kept: Emptied['kept'][number][] = [];
  for (;;) {
    const batch = readOn(fd);
    if (batch.isEnd) return { entries, freedBytes, kept, problem: batch.problem };
    for (const { name } of batch.entries) {
      const removal = yield* removeTree(fd, name, { isTrash: true });
      entries += removal.entries;
      freedBytes += removal.freedBytes;
      if (removal.failed > 0 && kept.length < conditionLimits.subjects)
        kept.push({ name: printable(name), failures: removal.failures, failed: removal.failed });
    }
  }
}

/** Reads the next entries. A failing disk ends the reading; the result for the entries before is still reported. */
function readOn(fd: number): ReturnType<typeof readBatch> & { readonly problem: string | undefined } {
  try {
    return { ...readBatch(fd), problem: undefined };
  } catch (error) {
    return { entries: [], isEnd: true, problem: toFault(error).message };
  }
}

/** Returns simple names unchanged, and others quoted with control characters escaped. */
function printable(name: string): string {
  return /^[\w.~+-]+$/u.test(name) ? name : shown(name);
}
