/**
 * Deletes a tree of any depth and width through descriptors, in steps, for worker threads. The tree is untrusted: a
 * container may have created directories deeper than the longest path, or a million files in one directory.
 *
 * There is one descriptor per level, up to `treeDepth`. A deeper directory is moved into the top directory of the tree
 * under a short new name and deleted there. So memory, descriptors and names stay bounded at any depth.
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
import { isSame, openedLevel, TreeWalk } from './tree-walk.ts';
import type { Level } from './tree-walk.ts';

export interface Removal {
  /** Number of deleted files and directories. */
  readonly entries: number;
  /** Bytes on disk that were freed. A file counts when its last hard link is deleted. */
  readonly freedBytes: number;
  /** The first few failures, each with path and error. Empty if everything was deleted. */
  readonly failures: readonly string[];
  readonly failed: number;
  /** The first failure as it was thrown. */
  readonly error?: unknown;
}

export interface RemovalOptions {
  /**
   * Whether the tree is in the daemon's trash. In the trash, mounts are unmounted and the flags immutable and
   * append-only are cleared. Elsewhere both make the deletion fail.
   */
  readonly isTrash: boolean;
}

interface RemovedLevel extends Level {
  /** Name of the directory in its parent. */
  readonly name: ByteString;
  readonly usedBytes: number;
  /** Whether something in it could not be deleted, so that the directory has to stay. */
  isKept: boolean;
  /** How often it was read from the start: a directory that gets new entries meanwhile is read again. */
  readings: number;
}

/**
 * Deletes the entry `name` of the open directory `parent` with everything below. Yields after every `treeStep` entries.
 * Never throws.
 */
export function* removeTree(
  parent: number,
  name: ByteString,
  options: RemovalOptions,
): Generator<void, Removal> {
  const removing = new Removing(parent, name, options);
  yield* removing.steps();
  return removing.result();
}

class Removing extends TreeWalk<RemovedLevel> {
  readonly #parent: number;
  #parentIdentity: Identity | undefined;
  readonly #options: RemovalOptions;
  readonly #failures: string[] = [];
  #failed = 0;
  #error: unknown;
  #entries = 0;
  #freedBytes = 0;
  /** Number of new names used in the top directory, and how many of them were deleted since. */
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
    this.#parentIdentity = statEntry(parent, '.');
    this.#enter(parent, name);
    const top = this.stack[0];
    // deep directories are moved into this one
    if (stats.isProtected && top !== undefined && this.#options.isTrash) unprotect(top.fd);
  }

  /** Stops at a directory that was moved meanwhile, possibly out of the tree: it must not be deleted there. */
  protected override resumed(): void {
    const moved = this.stack.findIndex(
      (level, depth) => !isIn(level, depth === 0 ? this.#parentIdentity : this.stack[depth - 1]),
    );
    if (moved < 0) return;
    const above = this.stack[moved - 1];
    const [level, ...deeper] = this.stack.splice(moved);
    for (const { fd } of level === undefined ? [] : [level, ...deeper]) closeSync(fd);
    if (above !== undefined) above.isKept = true;
    this.#note(new Error('the directory was moved during the deletion'), level?.name ?? '');
  }

  protected override take(level: RemovedLevel, { name, isDirectory }: BatchEntry): void {
    const stats = isDirectory === true ? undefined : statEntry(level.fd, name);
    if (isDirectory !== true && stats === undefined) return;
    if (isDirectory !== true && stats?.isDirectory === false) this.#removeFile(level.fd, name, stats);
    else if (this.stack.length < storageLimits.treeDepth) this.#enter(level.fd, name);
    else this.#moveUp(level.fd, name);
  }

  protected override leave(level: RemovedLevel): void {
    const above = this.stack.at(-2);
    if (above === undefined && this.#undone < this.#moved) {
      this.#undone += 1;
      const name = movedName(this.#undone);
      this.attempt(level, name, () => this.#enter(level.fd, name));
      return;
    }
    if (!level.isKept) this.attempt(level, '', () => this.#removeEmpty(above?.fd ?? this.#parent, level));
    // it got new entries: read it again from the start
    if (!level.isKept && !level.isEnd) return;
    this.stack.pop();
    closeSync(level.fd);
    if (level.isKept && above !== undefined) above.isKept = true;
  }

  protected override failed(error: unknown, level: RemovedLevel, name: ByteString): void {
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
      // on a disk error (EIO, ESTALE) do not leak the descriptor
      if (stats === undefined) closeSync(fd);
    }
    if (stats !== undefined)
      this.stack.push({
        ...openedLevel(fd, stats),
        name,
        usedBytes: stats.usedBytes,
        isKept: false,
        readings: 1,
      });
  }

  /** Removes an empty directory. One that got new entries is read again, up to `treeReadings` times. */
  #removeEmpty(parent: number, level: RemovedLevel): void {
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

  /** Moves a directory into the top directory. If a name exists there, tries the next number. */
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

  /**
   * Runs `work`. On EPERM, which immutable and append-only files cause, clears these flags in the trash and tries
   * again.
   */
  #permitted<T>(parent: number, name: ByteString, own: number | undefined, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (codeOf(error) !== 'EPERM' || !this.#options.isTrash) throw error;
    }
    if (statEntry(parent, '.')?.isProtected === true) unprotect(parent);
    const stats = statEntry(parent, name);
    // do not open devices and FIFOs: that has side effects, and they cannot have these flags
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

  /** Runs `work`. Lazily unmounts what is mounted on an entry of the trash, without touching the mount's content. */
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

  /** Records a failure with the path of the entry, or of the current directory if `name` is empty. */
  #note(error: unknown, name: ByteString): void {
    this.#failed += 1;
    this.#error ??= error;
    const reason = error instanceof Error ? error.message : String(error);
    if (this.#failures.length < storageLimits.failuresKept)
      this.#failures.push(`${this.#pathOf(name)}: ${reason}`);
  }

  /** The path below the tree's top, shortened to its last few names. */
  #pathOf(name: ByteString): string {
    const names = [...this.stack.slice(1).map((level) => level.name), ...(name === '' ? [] : [name])];
    const last = names.slice(-storageLimits.namesShown);
    return shown(`${names.length > last.length ? '…/' : ''}${last.join('/') || '.'}`);
  }
}

/** Whether the level's parent is `above` at present. */
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
