/**
 * A tree that nobody trusts, entry by entry and in steps, for what deletes (tree-removal.ts) and what counts (tree-measure.ts)
 * in worker threads: directories are open by descriptors, entered by a single name below one that is open, never by a path.
 */
import { closeSync } from 'node:fs';
import { storageLimits } from '../bounds.ts';
import { readBatch } from '../../host/files/directory-entries.ts';
import type { BatchEntry, Identity } from '../../host/files/directory-entries.ts';
import type { ByteString } from '../../base/byte-string.ts';

/** A directory between the top of the tree and the entry at work. */
export interface Level extends Identity {
  /** -1: closed, since deeper ones are open. */
  fd: number;
  entries: readonly BatchEntry[];
  /** The next of `entries`. */
  at: number;
  /** There is no more to be read. */
  isEnd: boolean;
}

/** An open directory that was not read yet. */
export function levelOf(fd: number, { device, inode, born }: Identity): Level {
  return { fd, device, inode, born, entries: [], at: 0, isEnd: false };
}

/** Of two directories, seen at different times: one and the same, as far as the file system has times of birth. */
export function isSame(one: Identity | undefined, other: Identity): boolean {
  // the number of a directory that was deleted may be given to another one
  return one?.inode === other.inode && one.device === other.device && one.born === other.born;
}

/** Whoever extends it opens and pushes the first level. */
export abstract class TreeWalk<L extends Level> {
  protected readonly stack: L[] = [];

  /** To the end; yields after each `treeStep` entries and readings. Closes what is open, also when it is given up. */
  *steps(): Generator<void, void> {
    try {
      for (let steps = 1; this.#step(); steps += 1) {
        if (steps % storageLimits.treeStep !== 0) continue;
        yield;
        this.resumed();
      }
    } finally {
      this.close();
    }
  }

  /** Leaves all that is open. */
  protected close(): void {
    for (const { fd } of this.stack.splice(0)) if (fd >= 0) closeSync(fd);
  }

  /** False when the work threw, which `failed` has then seen. */
  protected attempt(level: L, name: ByteString, work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      this.failed(error, level, name);
      return false;
    }
  }

  /** Others have worked since the last step. */
  protected resumed(): void {
    // for those that care
  }

  protected abstract take(level: L, entry: BatchEntry): void;
  /** All that its readings gave was taken: pops it, or has it read again. */
  protected abstract leave(level: L): void;
  /** `name` is empty where it was the directory itself. */
  protected abstract failed(error: unknown, level: L, name: ByteString): void;

  /** One entry, or one reading; false when there is nothing left to do. */
  #step(): boolean {
    const level = this.stack.at(-1);
    if (level === undefined) return false;
    const entry = level.entries[level.at];
    if (entry !== undefined) {
      level.at += 1;
      this.attempt(level, entry.name, () => this.take(level, entry));
    } else if (level.isEnd) {
      this.leave(level);
    } else if (!this.attempt(level, '', () => void Object.assign(level, { at: 0, ...readBatch(level.fd) }))) {
      level.isEnd = true;
    }
    return true;
  }
}
