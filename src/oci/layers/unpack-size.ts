/**
 * What a layer takes on the disk, added up while its files are open: a walk over the finished tree asks for each of them
 * again and costs a tenth of the whole unpacking.
 */
import { fstatSync } from 'node:fs';
import type { Stats } from 'node:fs';
import type { TarEntry } from './tar-entry.ts';

/** st_blocks counts in these, whatever the file system's block size (stat(2)). */
const STAT_BLOCK_BYTES = 512;

export interface WrittenSize {
  readonly usedBytes: number;
  readonly inodes: number;
}

export class SizeSum {
  #usedBytes = 0;
  #inodes = 0;
  #isKnown = true;
  readonly #directories = new Set<number>();

  /** A file that is written and still open. */
  addFile(fd: number, entry: TarEntry): void {
    const stats = fstatSync(fd);
    const bytes = stats.blocks * STAT_BLOCK_BYTES;
    // XFS counts the blocks that it sets aside behind the end of a file until that is closed
    const most = Math.ceil(stats.size / stats.blksize) * stats.blksize;
    this.#usedBytes += entry.sparse || entry.xattrs.length > 0 ? bytes : Math.min(bytes, most);
    this.#inodes += 1;
  }

  /** Anything that is neither a file nor a directory. */
  addOther(stats: Stats | undefined): void {
    this.#usedBytes += (stats?.blocks ?? 0) * STAT_BLOCK_BYTES;
    this.#inodes += 1;
  }

  /** Once for each inode: symlinks give a directory several paths. */
  addDirectory(stats: Stats): void {
    if (this.#directories.has(stats.ino)) return;
    this.#directories.add(stats.ino);
    this.addOther(stats);
  }

  /** Something was taken away again, or made that nobody told: only a walk over the tree says what there is. */
  giveUp(): void {
    this.#isKnown = false;
  }

  /** Undefined when it is not known. */
  get total(): WrittenSize | undefined {
    return this.#isKnown ? { usedBytes: this.#usedBytes, inodes: this.#inodes } : undefined;
  }
}
