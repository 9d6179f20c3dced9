/**
 * Measures what trees take on disk, in steps, for worker threads. A container can create directories of any depth and
 * move them during the measurement. The measurement renames nothing and uses bounded memory and descriptors.
 *
 * The upper `heldDepth` levels keep their descriptors. Below them only the deepest directory is open. To go back, `..`
 * is opened and compared with the directory that was left. If it is another one, the rest of that branch is not
 * counted, and the sum is a lower bound (`isWhole` is false). The same holds beyond the bounds on entries and depth.
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
import { isSame, openedLevel, TreeWalk } from './tree-walk.ts';
import type { Level } from './tree-walk.ts';

export interface TreeSize {
  /** Bytes on disk as du(1) counts them: a hard-linked file once, directories included. */
  readonly usedBytes: number;
  readonly inodes: number;
}

export interface Measured extends TreeSize {
  /** False if a part could not be counted: the figures are then lower bounds. */
  readonly isWhole: boolean;
}

/** A measurement with the number of examined entries. Further hard links of a file add to it but not to the sum. */
interface Counted extends Measured {
  readonly examined: number;
}

/** Errors for an entry that was deleted or replaced during the measurement. */
const VANISHED: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'EXDEV']);

/**
 * Measures the tree at each path, in order; a missing path counts as zero. At most `maxEntries` entries are examined in
 * all: each tree may use an equal share of what is left, and trees that need more are measured again with the rest.
 * Yields after every `treeStep` entries.
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
    left -= size.examined;
  }
  // large trees may use what small ones did not need
  for (const [at, path] of paths.entries()) {
    const before = sizes[at];
    if (before === undefined || before.isWhole || left <= before.examined) continue;
    const size = yield* measureTree(path, left);
    if (size.usedBytes >= before.usedBytes) sizes[at] = size;
    left -= size.examined;
  }
  return sizes;
}

function* measureTree(path: string, maxEntries: number): Generator<void, Counted> {
  const found = openOwnParent(path);
  if (found === undefined) return { usedBytes: 0, inodes: 0, isWhole: true, examined: 0 };
  try {
    const measuring = new Measuring(maxEntries, found.parent, found.name);
    yield* measuring.steps();
    return measuring.result();
  } finally {
    closeSync(found.parent);
  }
}

interface CountedLevel extends Level {
  /** Where to continue reading after the directory is opened again. */
  next: bigint;
}

class Measuring extends TreeWalk<CountedLevel> {
  readonly #maxEntries: number;
  /** Inodes of hard-linked files that were counted. */
  readonly #linked = new Set<number>();
  #device = 0;
  #usedBytes = 0;
  #inodes = 0;
  #examined = 0;
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
    return {
      usedBytes: this.#usedBytes,
      inodes: this.#inodes,
      isWhole: this.#isWhole,
      examined: this.#examined,
    };
  }

  protected override take(level: CountedLevel, { name, next }: BatchEntry): void {
    level.next = next;
    this.#examined += 1;
    if (this.#examined >= this.#maxEntries) {
      // the bound is reached: stop and close all levels
      this.#isWhole = false;
      this.close();
      return;
    }
    const stats = statEntry(level.fd, name);
    // skip other file systems and bind mounts
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

  /** Unless the entry just disappeared, an error makes the sum a lower bound. */
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
    this.stack.push({ ...openedLevel(fd, identity), next: 0n });
  }

  /** Opens the parent again. If a directory was moved meanwhile, `..` may be another one, even one of the node's. */
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

  /** Goes back to the deepest level that still has its descriptor. */
  #leaveBranch(): void {
    this.#isWhole = false;
    while (this.stack.length > 1) {
      const left = this.stack.pop();
      if (left !== undefined && left.fd >= 0) closeSync(left.fd);
      if ((this.stack.at(-1)?.fd ?? 0) >= 0) return;
    }
  }
}

/** A directory was moved since it was entered. */
class Moved extends Error {}
