/**
 * A tree of any depth and width deleted through descriptors, in steps, for worker threads. Nothing in it is trusted: a
 * container may have nested directories deeper than any path is long, or put a million files into one directory.
 *
 * One descriptor for each level, up to `treeDepth`; what lies deeper is moved up into the top directory of the tree under a
 * short fresh name and deleted from there, so that memory, descriptors and names stay bounded whatever the depth.
 */
import { closeSync } from 'node:fs';
import { storageLimits } from '../bounds.ts';
import {
  isMountedOn,
  openSubdirectory,
  seekDirectory,
  statEntry,
  unprotect,
} from '../../host/files/directory-entries.ts';
import type { BatchEntry, EntryStats, Identity } from '../../host/files/directory-entries.ts';
import { codeOf } from '../../host/ffi/errno.ts';
import { MNT_DETACH, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, UMOUNT_NOFOLLOW } from '../../host/ffi/constants.ts';
import { callSync, libc } from '../../host/ffi/ffi.ts';
import { openAt, renameNewAt } from '../../host/files/files-at.ts';
import { shown } from '../../base/byte-string.ts';
import type { ByteString } from '../../base/byte-string.ts';
import { rmdirAt, unlinkAt } from './entry-calls.ts';
import { isSame, levelOf, TreeWalk } from './tree-walk.ts';
import type { Level } from './tree-walk.ts';

export interface Removal {
  /** Files and directories that are gone. */
  readonly entries: number;
  /** Bytes on disk that their last names held. */
  readonly freedBytes: number;
  /** Why something of it is still there, path and error; the first few. Empty when all is gone. */
  readonly failures: readonly string[];
  readonly failed: number;
  /** The first failure as it was thrown. */
  readonly error?: unknown;
}

export interface RemovalOptions {
  /**
   * The tree lies in our trash, so what hinders us in there may go, too: mounts are taken off, the flags immutable and
   * append-only are cleared. Elsewhere both are failures.
   */
  readonly isTrash: boolean;
}

interface Doomed extends Level {
  /** Of the directory, in the one of the level above. */
  readonly name: ByteString;
  readonly usedBytes: number;
  /** Something in it could not be deleted, so it can't be either. */
  isKept: boolean;
  /** Readings from its beginning: one that has got entries meanwhile is read again. */
  readings: number;
}

/** Deletes the entry `name` of the open directory `parent` with all below it. Yields after each `treeStep` entries; never throws. */
export function* removeTree(
  parent: number,
  name: ByteString,
  options: RemovalOptions,
): Generator<void, Removal> {
  const removing = new Removing(parent, name, options);
  yield* removing.steps();
  return removing.result();
}

class Removing extends TreeWalk<Doomed> {
  readonly #parent: number;
  #place: Identity | undefined;
  readonly #options: RemovalOptions;
  readonly #failures: string[] = [];
  #failed = 0;
  #error: unknown;
  #entries = 0;
  #freedBytes = 0;
  /** Fresh names that were given in the top directory, and those of them that are dealt with. */
  #moved = 0;
  #undone = 0;

  constructor(parent: number, name: ByteString, options: RemovalOptions) {
    super();
    this.#parent = parent;
    this.#options = options;
    try {
      this.#begin(parent, name);
    } catch (error) {
      this.#note(error, name);
    }
  }

  result(): Removal {
    const counts = {
      entries: this.#entries,
      freedBytes: this.#freedBytes,
      failures: this.#failures,
      failed: this.#failed,
    };
    return this.#failed === 0 ? counts : { ...counts, error: this.#error };
  }

  #begin(parent: number, name: ByteString): void {
    const stats = statEntry(parent, name);
    if (stats === undefined) return;
    if (!stats.isDirectory) {
      this.#removeFile(parent, name, stats);
      return;
    }
    this.#place = statEntry(parent, '.');
    this.#enter(parent, name);
    const top = this.stack[0];
    // what is moved up comes in here
    if (stats.isProtected && top !== undefined && this.#options.isTrash) unprotect(top.fd);
  }

  /** What somebody has moved meanwhile, out of the tree as it may be, is not deleted there. */
  protected override resumed(): void {
    const moved = this.stack.findIndex(
      (level, depth) => !isIn(level, depth === 0 ? this.#place : this.stack[depth - 1]),
    );
    if (moved < 0) return;
    const above = this.stack[moved - 1];
    const [level, ...deeper] = this.stack.splice(moved);
    for (const { fd } of level === undefined ? [] : [level, ...deeper]) closeSync(fd);
    if (above !== undefined) above.isKept = true;
    this.#note(new Error('was moved while it was deleted'), level?.name ?? '');
  }

  protected override take(level: Doomed, { name, isDirectory }: BatchEntry): void {
    const stats = isDirectory === true ? undefined : statEntry(level.fd, name);
    if (isDirectory !== true && stats === undefined) return;
    if (isDirectory !== true && stats?.isDirectory === false) this.#removeFile(level.fd, name, stats);
    else if (this.stack.length < storageLimits.treeDepth) this.#enter(level.fd, name);
    else this.#moveUp(level.fd, name);
  }

  protected override leave(level: Doomed): void {
    const above = this.stack.at(-2);
    if (above === undefined && this.#undone < this.#moved) {
      this.#undone += 1;
      const name = movedName(this.#undone);
      this.attempt(level, name, () => this.#enter(level.fd, name));
      return;
    }
    if (!level.isKept) this.attempt(level, '', () => this.#removeEmpty(above?.fd ?? this.#parent, level));
    // read again from its beginning
    if (!level.isKept && !level.isEnd) return;
    this.stack.pop();
    closeSync(level.fd);
    if (level.isKept && above !== undefined) above.isKept = true;
  }

  protected override failed(error: unknown, level: Doomed, name: ByteString): void {
    level.isKept = true;
    this.#note(error, name);
  }

  #enter(parent: number, name: ByteString): void {
    let fd: number;
    try {
      fd = this.#withoutMounts(parent, name, () => openSubdirectory(parent, name));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return;
      throw error;
    }
    let stats: EntryStats | undefined;
    try {
      stats = statEntry(fd, '.');
    } finally {
      // a disk's error (EIO, ESTALE) must not keep the descriptor of each directory
      if (stats === undefined) closeSync(fd);
    }
    if (stats !== undefined)
      this.stack.push({
        ...levelOf(fd, stats),
        name,
        usedBytes: stats.usedBytes,
        isKept: false,
        readings: 1,
      });
  }

  /** A directory that has got entries since it was read is read again, so often and no more. */
  #removeEmpty(parent: number, level: Doomed): void {
    try {
      const remove = (): unknown =>
        this.#withoutMounts(parent, level.name, () => rmdirAt(parent, level.name));
      this.#permitted(parent, level.name, level.fd, remove);
    } catch (error) {
      if (codeOf(error) !== 'ENOTEMPTY' || level.readings >= storageLimits.treeReadings) throw error;
      level.readings += 1;
      seekDirectory(level.fd, 0n);
      level.isEnd = false;
      return;
    }
    this.#entries += 1;
    this.#freedBytes += level.usedBytes;
  }

  #removeFile(parent: number, name: ByteString, stats: EntryStats): void {
    this.#permitted(parent, name, undefined, () =>
      this.#withoutMounts(parent, name, () => unlinkAt(parent, name)),
    );
    this.#entries += 1;
    if (stats.links <= 1) this.#freedBytes += stats.usedBytes;
  }

  /** A number is free, or taken by what somebody named so; each is tried once. */
  #moveUp(from: number, name: ByteString): void {
    const top = this.stack[0];
    if (top === undefined) return;
    for (;;) {
      this.#moved += 1;
      const fresh = movedName(this.#moved);
      try {
        this.#permitted(from, name, undefined, () =>
          renameNewAt(from, Buffer.from(name, 'latin1'), top.fd, fresh),
        );
        return;
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return;
        if (codeOf(error) !== 'EEXIST') throw error;
      }
    }
  }

  /** EPERM may mean that the entry or its directory is immutable or append-only. */
  #permitted<T>(parent: number, name: ByteString, own: number | undefined, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (codeOf(error) !== 'EPERM' || !this.#options.isTrash) throw error;
    }
    if (statEntry(parent, '.')?.isProtected === true) unprotect(parent);
    const stats = statEntry(parent, name);
    // to open a device or a FIFO would do something; neither can have these flags
    if (stats?.isProtected === true && (stats.isDirectory || stats.isRegular)) {
      const fd = own ?? openAt(parent, Buffer.from(name, 'latin1'), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      try {
        unprotect(fd);
      } finally {
        if (own === undefined) closeSync(fd);
      }
    }
    return work();
  }

  /** What is mounted on an entry of the trash is taken off, lazily: its content is not ours and is not touched. */
  #withoutMounts<T>(parent: number, name: ByteString, work: () => T): T {
    for (let mounts = 0; ; mounts += 1) {
      try {
        return work();
      } catch (error) {
        const isMounted = isMountedOn(error) || codeOf(error) === 'EBUSY';
        if (!isMounted || !this.#options.isTrash || mounts >= storageLimits.stackedMounts) throw error;
        const path = Buffer.from(`/proc/self/fd/${parent}/${name}\0`, 'latin1');
        if (callSync(libc.umount, path, MNT_DETACH | UMOUNT_NOFOLLOW).result === -1) throw error;
      }
    }
  }

  /** With the path of the entry, or of the directory itself. */
  #note(error: unknown, name: ByteString): void {
    this.#failed += 1;
    this.#error ??= error;
    const reason = error instanceof Error ? error.message : String(error);
    if (this.#failures.length < storageLimits.failuresKept)
      this.#failures.push(`${this.#pathOf(name)}: ${reason}`);
  }

  /** Below the tree; the last few names of a deep one. */
  #pathOf(name: ByteString): string {
    const names = [...this.stack.slice(1).map((level) => level.name), ...(name === '' ? [] : [name])];
    const last = names.slice(-storageLimits.namesShown);
    return shown(`${names.length > last.length ? '…/' : ''}${last.join('/') || '.'}`);
  }
}

/** Whether that is the directory above a level, now. */
function isIn(level: Level, above: Identity | undefined): boolean {
  try {
    return above !== undefined && isSame(statEntry(level.fd, '..'), above);
  } catch {
    return false;
  }
}

function movedName(number: number): string {
  return `~${number}`;
}
