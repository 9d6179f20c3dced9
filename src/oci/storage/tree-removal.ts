/**
 * A tree of any depth and width deleted through descriptors, in steps, for worker threads. Nothing in it is trusted: a
 * container may have nested directories deeper than any path is long, or put a million files into one directory.
 *
 * One descriptor for each level, up to `treeDepth`; what lies deeper is moved up into the top directory of the tree under a
 * short fresh name and deleted from there, so that memory, descriptors and names stay bounded whatever the depth.
 */
import { closeSync } from 'node:fs';
import { storageLimits } from '../../base/limits.ts';
import { isMountedOn, openSubdirectory, readBatch, seekDirectory, statEntry, unprotect } from '../../host/directory-entries.ts';
import type { BatchEntry, EntryStats } from '../../host/directory-entries.ts';
import { codeOf } from '../../host/errno.ts';
import { MNT_DETACH, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, UMOUNT_NOFOLLOW } from '../../host/ffi-constants.ts';
import { callSync, libc } from '../../host/ffi.ts';
import { openAt, renameNewAt } from '../../host/files-at.ts';
import { shown } from '../image/tar-header.ts';
import type { ByteString } from '../image/tar-header.ts';
import { rmdirAt, unlinkAt } from '../image/unpack-sys.ts';

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

interface Frame {
  readonly fd: number;
  /** Of the directory, in the one of the frame below. */
  readonly name: ByteString;
  entries: readonly BatchEntry[];
  at: number;
  /** There is no more to be read. */
  isEnd: boolean;
  /** Something in it could not be deleted, so it can't be either. */
  isKept: boolean;
  /** Readings from its beginning: one that has got entries meanwhile is read again. */
  readings: number;
}

/** Deletes the entry `name` of the open directory `parent` with all below it. Yields after each `treeStep` entries; never throws. */
export function* removeTree(parent: number, name: ByteString, options: RemovalOptions): Generator<void, Removal> {
  const removing = new Removing(parent, name, options);
  try {
    for (let steps = 1; removing.step(); steps += 1) if (steps % storageLimits.treeStep === 0) yield;
    return removing.result();
  } finally {
    removing.close();
  }
}

class Removing {
  readonly #parent: number;
  readonly #options: RemovalOptions;
  readonly #stack: Frame[] = [];
  readonly #failures: string[] = [];
  #failed = 0;
  #error: unknown;
  #entries = 0;
  #freedBytes = 0;
  /** Fresh names that were given in the top directory, and those of them that are dealt with. */
  #moved = 0;
  #undone = 0;

  constructor(parent: number, name: ByteString, options: RemovalOptions) {
    this.#parent = parent;
    this.#options = options;
    this.#try(name, () => this.#begin(parent, name));
  }

  /** One entry, or one reading; false when there is nothing left to do. */
  step(): boolean {
    const frame = this.#stack.at(-1);
    if (frame === undefined) return false;
    const entry = frame.entries[frame.at];
    if (entry !== undefined) {
      frame.at += 1;
      if (!this.#try(entry.name, () => this.#take(frame, entry))) frame.isKept = true;
    } else if (frame.isEnd) {
      this.#leave(frame);
    } else if (!this.#try('', () => this.#read(frame))) {
      frame.isKept = true;
      frame.isEnd = true;
    }
    return true;
  }

  result(): Removal {
    const counts = { entries: this.#entries, freedBytes: this.#freedBytes, failures: this.#failures, failed: this.#failed };
    return this.#failed === 0 ? counts : { ...counts, error: this.#error };
  }

  close(): void {
    for (const { fd } of this.#stack.splice(0)) closeSync(fd);
  }

  #begin(parent: number, name: ByteString): void {
    const stats = statEntry(parent, name);
    if (stats === undefined) return;
    if (!stats.isDirectory) {
      this.#removeFile(parent, name, stats);
      return;
    }
    this.#enter(parent, name);
    const top = this.#stack[0];
    // what is moved up comes in here
    if (stats.isProtected && top !== undefined && this.#options.isTrash) unprotect(top.fd);
  }

  #take(frame: Frame, { name, isDirectory }: BatchEntry): void {
    const stats = isDirectory === true ? undefined : statEntry(frame.fd, name);
    if (isDirectory !== true && stats === undefined) return;
    if (isDirectory !== true && stats?.isDirectory === false) this.#removeFile(frame.fd, name, stats);
    else if (this.#stack.length < storageLimits.treeDepth) this.#enter(frame.fd, name);
    else this.#moveUp(frame.fd, name);
  }

  #enter(parent: number, name: ByteString): void {
    let fd: number;
    try {
      fd = this.#withoutMounts(parent, name, () => openSubdirectory(parent, name));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return;
      throw error;
    }
    this.#stack.push({ fd, name, entries: [], at: 0, isEnd: false, isKept: false, readings: 1 });
  }

  #read(frame: Frame): void {
    const { entries, isEnd } = readBatch(frame.fd);
    frame.entries = entries;
    frame.at = 0;
    frame.isEnd = isEnd;
  }

  /** All that its readings gave was dealt with. */
  #leave(frame: Frame): void {
    const below = this.#stack.at(-2);
    if (below === undefined && this.#undone < this.#moved) {
      this.#undone += 1;
      const name = movedName(this.#undone);
      if (!this.#try(name, () => this.#enter(frame.fd, name))) frame.isKept = true;
      return;
    }
    if (!frame.isKept) frame.isKept = !this.#try('', () => this.#removeEmpty(below?.fd ?? this.#parent, frame));
    // read again from its beginning
    if (!frame.isKept && !frame.isEnd) return;
    this.#stack.pop();
    closeSync(frame.fd);
    if (frame.isKept && below !== undefined) below.isKept = true;
  }

  /** A directory that has got entries since it was read is read again, so often and no more. */
  #removeEmpty(parent: number, frame: Frame): void {
    const usedBytes = statEntry(frame.fd, '.')?.usedBytes ?? 0;
    try {
      const remove = (): unknown => this.#withoutMounts(parent, frame.name, () => rmdirAt(parent, frame.name));
      this.#permitted(parent, frame.name, frame.fd, remove);
    } catch (error) {
      if (codeOf(error) !== 'ENOTEMPTY' || frame.readings >= storageLimits.treeReadings) throw error;
      frame.readings += 1;
      seekDirectory(frame.fd, 0n);
      frame.isEnd = false;
      return;
    }
    this.#entries += 1;
    this.#freedBytes += usedBytes;
  }

  #removeFile(parent: number, name: ByteString, stats: EntryStats): void {
    this.#permitted(parent, name, undefined, () => this.#withoutMounts(parent, name, () => unlinkAt(parent, name)));
    this.#entries += 1;
    if (stats.links <= 1) this.#freedBytes += stats.usedBytes;
  }

  /** A number is free, or taken by what somebody named so; each is tried once. */
  #moveUp(from: number, name: ByteString): void {
    const top = this.#stack[0];
    if (top === undefined) return;
    for (;;) {
      this.#moved += 1;
      const fresh = movedName(this.#moved);
      try {
        this.#permitted(from, name, undefined, () => renameNewAt(from, Buffer.from(name, 'latin1'), top.fd, fresh));
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

  /** True when the work succeeded; otherwise the failure is noted with the path of the entry, or of the directory itself. */
  #try(name: ByteString, work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      this.#failed += 1;
      this.#error ??= error;
      const reason = error instanceof Error ? error.message : String(error);
      if (this.#failures.length < storageLimits.failuresKept) this.#failures.push(`${this.#pathOf(name)}: ${reason}`);
      return false;
    }
  }

  /** Below the tree; the last few names of a deep one. */
  #pathOf(name: ByteString): string {
    const names = [...this.#stack.slice(1).map((frame) => frame.name), ...(name === '' ? [] : [name])];
    const last = names.slice(-storageLimits.namesShown);
    return shown(`${names.length > last.length ? '…/' : ''}${last.join('/') || '.'}`);
  }
}

function movedName(number: number): string {
  return `~${number}`;
}
