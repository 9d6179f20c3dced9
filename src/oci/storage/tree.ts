/** Whole trees deleted and measured through directory descriptors, for worker threads: no path is too long, no symlink is followed. */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { fail } from '../../base/fault.ts';
import { storageLimits } from '../../base/limits.ts';
import { codeOf } from '../../host/errno.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY } from '../../host/ffi-constants.ts';
import {
  listDirectory,
  openDirectoryAt,
  renameAt,
  rmdirAt,
  statAt,
  unlinkAt,
} from '../image/unpack-sys.ts';
import { shown } from '../image/tar-header.ts';
import type { ByteString } from '../image/tar-header.ts';

/** st_blocks counts in these, whatever the file system's block size (stat(2)). */
export const STAT_BLOCK_BYTES = 512;

export interface TreeSize {
  /** Bytes on disk, as du counts them: a hard-linked file once, directories too. */
  readonly usedBytes: number;
  readonly inodes: number;
}

/** Opens a directory that we made, by its path, as a base. */
export function openOwnDirectory(path: string): number {
  return openSync(path, O_RDONLY | O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/** Runs `work` with the directory that a path of ours is in, and its name there; nothing is done when that directory is gone. */
export function inOwnParent(path: string, work: (parent: number, name: ByteString) => void): void {
  const slash = path.lastIndexOf('/');
  let parent: number;
  try {
    parent = openOwnDirectory(path.slice(0, slash));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  try {
    work(parent, Buffer.from(path.slice(slash + 1)).toString('latin1'));
  } finally {
    closeSync(parent);
  }
}

/** Deletes the entry `name` of the directory `fd` with all below it; succeeds when it is gone. */
export function removeTreeAt(fd: number, name: ByteString): void {
  try {
    unlinkAt(fd, name);
    return;
  } catch (error) {
    const code = codeOf(error);
    // POSIX allows EPERM for unlink of a directory; Linux says EISDIR
    if (code !== 'EISDIR' && code !== 'EPERM') throw error;
  }
  const deep: ByteString[] = [];
  emptyDirectory(fd, name, { device: fstatSync(fd).dev, depth: 1 }, (childFd, child) => {
    // Deeper than one descriptor per level is good for: moved up beside the tree, and deleted from there. Nobody else
    // writes there; an archive that has this very name beside a tree of such depth spoils nothing but its own layer.
    const moved = `${name.slice(0, 128)}.deep-${deep.length}`;
    renameAt(childFd, child, fd, moved);
    deep.push(moved);
  });
  rmdirAt(fd, name);
  for (const moved of deep) removeTreeAt(fd, moved);
}

function emptyDirectory(
  fd: number,
  name: ByteString,
  where: { readonly device: number; readonly depth: number },
  moveUp: (fd: number, name: ByteString) => void,
): void {
  const { device, depth } = where;
  let own: number;
  try {
    own = openDirectoryAt(fd, name);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  try {
    // a mount that somebody made in here: what lies below is not ours
    if (fstatSync(own).dev !== device) fail('outside', `delete directory ${shown(name)}: another file system is mounted there`);
    for (const entry of listDirectory(own)) {
      if (!entry.isDirectory) {
        removeTreeAt(own, entry.name);
      } else if (depth >= storageLimits.treeDepth) {
        moveUp(own, entry.name);
      } else {
        emptyDirectory(own, entry.name, { device, depth: depth + 1 }, moveUp);
        rmdirAt(own, entry.name);
      }
    }
  } finally {
    closeSync(own);
  }
}

/**
 * Sums up the tree below each of `paths`, the directories themselves included. Entries that vanish meanwhile are
 * left out, other file systems are not entered, and what is deeper than `treeDepth` or above `maxEntries` is not
 * counted (a container can dig as deep as it likes).
 */
export function measureTrees(paths: readonly string[], maxEntries: number = storageLimits.measuredEntries): TreeSize {
  const sum = { usedBytes: 0, inodes: 0, entries: 0, linked: new Set<string>() };
  for (const path of paths) inOwnParent(path, (parent, name) => measureEntry(parent, name, 0, undefined, sum, maxEntries));
  return { usedBytes: sum.usedBytes, inodes: sum.inodes };
}

interface Sum {
  usedBytes: number;
  inodes: number;
  entries: number;
  readonly linked: Set<string>;
}

function measureEntry(fd: number, name: ByteString, depth: number, device: number | undefined, sum: Sum, maxEntries: number): void {
  if (sum.entries >= maxEntries) return;
  const stats = statAt(fd, name);
  if (stats === undefined || (device !== undefined && stats.dev !== device)) return;
  sum.entries += 1;
  if (stats.nlink > 1 && !stats.isDirectory()) {
    const key = `${stats.dev}:${stats.ino}`;
    if (sum.linked.has(key)) return;
    sum.linked.add(key);
  }
  sum.usedBytes += stats.blocks * STAT_BLOCK_BYTES;
  sum.inodes += 1;
  if (!stats.isDirectory() || depth >= storageLimits.treeDepth) return;
  let own: number;
  try {
    own = openDirectoryAt(fd, name);
  } catch (error) {
    // deleted, or replaced by a symlink, between the two calls: a live container may do so
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR' || codeOf(error) === 'ELOOP') return;
    throw error;
  }
  try {
    for (const entry of listDirectory(own)) measureEntry(own, entry.name, depth + 1, stats.dev, sum, maxEntries);
  } finally {
    closeSync(own);
  }
}
