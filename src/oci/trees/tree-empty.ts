/** A trash emptied in steps, for worker threads. */
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
  /** What could not be deleted and why: as many as conditions name. Names are printable. */
  readonly kept: readonly {
    readonly name: string;
    readonly failures: readonly string[];
    readonly failed: number;
  }[];
  /** Why the directory itself could not be read to its end; undefined when it could. */
  readonly problem: string | undefined;
}

/** Deletes each entry of a directory of ours on its own; one that can't be deleted keeps no other. Throws when it can't be opened. */
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

/** A disk that can't give further entries ends the reading, and what is known of the others is still reported. */
function readOn(fd: number): ReturnType<typeof readBatch> & { readonly problem: string | undefined } {
  try {
    return { ...readBatch(fd), problem: undefined };
  } catch (error) {
    return { entries: [], isEnd: true, problem: toFault(error).message };
  }
}

/** Plain names as they are; others quoted, with their control characters escaped. */
function printable(name: string): string {
  return /^[\w.~+-]+$/u.test(name) ? name : shown(name);
}
