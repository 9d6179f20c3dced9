/**
 * Walks an untrusted tree entry by entry, in steps: the base of deletion (tree-removal.ts) and measurement
 * (tree-measure.ts) in worker threads. A directory is opened by its name below its parent's descriptor, never by a
 * path.
 */
import { closeSync } from 'node:fs';
import { storageLimits } from '../bounds.ts';
import { readBatch } from '../../host/files/directory-entries.ts';
import type { BatchEntry, Identity } from '../../host/files/directory-entries.ts';
import type { ByteString } from '../../base/byte-string.ts';

/** A directory on the way from the top of the tree to the current entry. */
export interface Level extends Identity {
  /** -1 if it was closed to save descriptors. */
  fd: number;
  entries: readonly BatchEntry[];
  /** Index of the next entry in `entries`. */
  at: number;
  /** Whether the directory was read to its end. */
  isEnd: boolean;
}

/** The level of a directory that was just opened. */
export function openedLevel(fd: number, { device, inode, born }: Identity): Level {
  return { fd, device, inode, born, entries: [], at: 0, isEnd: false };
}

/** Whether two directories seen at different times are the same. Certain only if the file system has birth times. */
export function isSame(one: Identity | undefined, other: Identity): boolean {
  // the inode number of a deleted directory can be used again
  return one?.inode === other.inode && one.device === other.device && one.born === other.born;
}

/** The walk. A subclass opens and pushes the first level. */
export abstract class TreeWalk<L extends Level> {
  protected readonly stack: L[] = [];

  /**
   * Runs the walk. Yields after every `treeStep` entries and readings. Closes all levels, even if the caller stops
   * early.
   */
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

  /** Closes all levels, which ends the walk. */
  protected close(): void {
    for (const { fd } of this.stack.splice(0)) if (fd >= 0) closeSync(fd);
  }

  /** Runs `work`. If it throws, calls `failed` and returns false. */
  protected attempt(level: L, name: ByteString, work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      this.failed(error, level, name);
      return false;
    }
  }

  /** Called after each pause, in which others may have changed the tree. */
  protected resumed(): void {
    // subclasses may override it
  }

  protected abstract take(level: L, entry: BatchEntry): void;
  /** Called when all entries of a level were taken. Pops the level, or makes it be read again. */
  protected abstract leave(level: L): void;
  /** Called with an error. `name` is empty if the error concerns the directory itself. */
  protected abstract failed(error: unknown, level: L, name: ByteString): void;

  /** Handles one entry or reads the directory once. Returns false at the end of the walk. */
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
