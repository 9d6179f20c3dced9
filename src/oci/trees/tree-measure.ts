/**
 * What trees take on disk, counted in steps, for worker threads. A container can dig as deep as it likes and moves its
 * directories while they are counted: nothing is renamed, and memory and descriptors stay bounded.
 *
 * The upper `heldDepth` levels keep their descriptors. Below them only the deepest directory is open; `..` leads back from
 * it, and whether that is the directory that was left is compared. Where it is another one, the rest of that branch is not
 * counted and the sum is a lower bound (`isWhole` false), as it is beyond the bounds on entries and depth.
 */
import { closeSync } from 'node:fs';
import { storageLimits } from '../bounds.ts';
import {
  openParent,
  openSubdirectory,
  seekDirectory,
  statEntry,
} from '../../host/files/directory-entries.ts';
import type { BatchEntry, EntryStats, Identity } from '../../host/files/directory-entries.ts';
import { codeOf } from '../../host/ffi/errno.ts';
import type { ByteString } from '../../base/byte-string.ts';
import { openOwnParent } from './own-directory.ts';
import { isSame, levelOf, TreeWalk } from './tree-walk.ts';
import type { Level } from './tree-walk.ts';

export interface TreeSize {
  /** Bytes on disk, as du counts them: a hard-linked file once, directories too. */
  readonly usedBytes: number;
  readonly inodes: number;
}

export interface Measured extends TreeSize {
  /** False: there is more, which could not be counted. */
  readonly isWhole: boolean;
}

/** With how many entries were looked at: the further names of a file count for work, not for the sum. */
interface Counted extends Measured {
  readonly looks: number;
}

/** Errors that say that an entry went away, or became something else, while it was looked at. */
const VANISHED: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EXDEV']);

/**
 * The tree at each path, in their order; nothing for a path that is not there. All together look at `maxEntries` entries:
 * each tree at its share of what the ones before it left, and those that need more at what is left of all. Yields after
 * each `treeStep` entries.
 */
export function* measureEach(
  paths: readonly string[],
  maxEntries: number,
): Generator<void, readonly Measured[]> {
  const sizes: Counted[] = [];
  let left = maxEntries;
  for (const [at, path] of paths.entries()) {
    const size = yield* measureTree(path, Math.max(1, Math.floor(left / (paths.length - at))));
    sizes.push(size);
    left -= size.looks;
  }
  // what small trees left over is for the large ones
  for (const [at, path] of paths.entries()) {
    const before = sizes[at];
    if (before === undefined || before.isWhole || left <= before.looks) continue;
    const size = yield* measureTree(path, left);
    if (size.usedBytes >= before.usedBytes) sizes[at] = size;
    left -= size.looks;
  }
  return sizes;
}

function* measureTree(path: string, maxEntries: number): Generator<void, Counted> {
  const found = openOwnParent(path);
  if (found === undefined) return { usedBytes: 0, inodes: 0, isWhole: true, looks: 0 };
  try {
    const measuring = new Measuring(maxEntries, found.parent, found.name);
    yield* measuring.steps();
    return measuring.result();
  } finally {
    closeSync(found.parent);
  }
}

interface CountedLevel extends Level {
  /** Where reading goes on once it is opened again. */
  next: bigint;
}

class Measuring extends TreeWalk<CountedLevel> {
  readonly #maxEntries: number;
  /** Inodes of hard-linked files that are counted already. */
  readonly #linked = new Set<number>();
  #device = 0;
  #usedBytes = 0;
  #inodes = 0;
  #looks = 0;
  #isWhole = true;

  constructor(maxEntries: number, parent: number, name: ByteString) {
    super();
    this.#maxEntries = maxEntries;
    const stats = statEntry(parent, name);
    if (stats === undefined) return;
    this.#device = stats.device;
    this.#count(stats);
    try {
      if (stats.isDirectory) this.#enter(parent, name, stats);
    } catch (error) {
      this.failed(error);
    }
  }

  result(): Counted {
    return { usedBytes: this.#usedBytes, inodes: this.#inodes, isWhole: this.#isWhole, looks: this.#looks };
  }

  protected override take(level: CountedLevel, { name, next }: BatchEntry): void {
    level.next = next;
    this.#looks += 1;
    if (this.#looks >= this.#maxEntries) {
      // nothing more is counted: all that is open is left
      this.#isWhole = false;
      this.close();
      return;
    }
    const stats = statEntry(level.fd, name);
    // another file system, or another place of this one
    if (stats === undefined || stats.device !== this.#device || stats.isMountRoot) return;
    if (!this.#isFirst(stats)) return;
    this.#count(stats);
    if (!stats.isDirectory) return;
    if (this.stack.length >= storageLimits.measuredDepth) this.#isWhole = false;
    else this.#enter(level.fd, name, stats);
  }

  protected override leave(level: CountedLevel): void {
    const above = this.stack.at(-2);
    if (
      above !== undefined &&
      above.fd < 0 &&
      !this.attempt(above, '', () => this.#reopen(above, level.fd))
    ) {
      this.#leaveBranch();
      return;
    }
    this.stack.pop();
    closeSync(level.fd);
  }

  /** An error that says more than that the entry went away leaves the sum a lower bound. */
  protected override failed(error: unknown): void {
    if (!VANISHED.has(codeOf(error))) this.#isWhole = false;
  }

  #isFirst({ links, isDirectory, inode }: EntryStats): boolean {
    if (links <= 1 || isDirectory) return true;
    if (this.#linked.has(inode)) return false;
    if (this.#linked.size >= storageLimits.linkedInodes) {
      this.#isWhole = false;
      return false;
    }
    this.#linked.add(inode);
    return true;
  }

  #count({ usedBytes }: EntryStats): void {
    this.#usedBytes += usedBytes;
    this.#inodes += 1;
  }

  #enter(parent: number, name: ByteString, identity: Identity): void {
    const fd = openSubdirectory(parent, name);
    const left = this.stack.at(-1);
    if (left !== undefined && this.stack.length > storageLimits.heldDepth) {
      closeSync(left.fd);
      left.fd = -1;
      left.entries = [];
      left.at = 0;
    }
    this.stack.push({ ...levelOf(fd, identity), next: 0n });
  }

  /** The directory that this one was entered from. Whoever moves directories meanwhile may have put another one there, of the node. */
  #reopen(above: CountedLevel, fd: number): void {
    const parent = openParent(fd);
    try {
      if (!isSame(statEntry(parent, '.'), above)) throw new Moved();
      seekDirectory(parent, above.next);
    } catch (error) {
      closeSync(parent);
      throw error;
    }
    above.fd = parent;
    above.isEnd = false;
  }

  /** Back to the deepest level that still has its descriptor. */
  #leaveBranch(): void {
    this.#isWhole = false;
    while (this.stack.length > 1) {
      const left = this.stack.pop();
      if (left !== undefined && left.fd >= 0) closeSync(left.fd);
      if ((this.stack.at(-1)?.fd ?? 0) >= 0) return;
    }
  }
}

/** A directory is not any more where it was entered. */
class Moved extends Error {}
