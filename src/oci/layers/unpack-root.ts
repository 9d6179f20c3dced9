/** The root of a layer that is being written, and the open directories below it. */
import { closeSync } from 'node:fs';
import { fail } from '../../base/fault.ts';
import { unpackLimits } from '../bounds.ts';
import { codeOf } from '../../host/ffi/errno.ts';
import type { ByteString } from '../../base/byte-string.ts';
import { refuseTar } from './tar-header.ts';
import { shown } from '../../base/byte-string.ts';
import type { LayerPath } from './unpack-path.ts';
import {
  chmodAt,
  chownAt,
  isWhiteout,
  mkdirAt,
  openDirectoryAt,
  openInRoot,
  readLinkAt,
  setXattrAt,
  statAt,
  unlinkAt,
} from '../trees/entry-calls.ts';

/** overlayfs: lower directories of this name are not merged in (Documentation/filesystems/overlayfs.rst). */
export const OPAQUE_XATTR = 'trusted.overlay.opaque';
const YES = Buffer.from('y');
/** What the peers and GNU tar give a directory that no entry describes, umask 022. */
const IMPLIED_MODE = 0o755;

/**
 * Directories by path, opened through openat2 in the root and kept while nothing on the way can have changed. All
 * writing in the layer goes through descriptors from here, so that no path of an archive is ever walked from outside.
 */
export class LayerRoot {
  readonly #root: number;
  readonly #open = new Map<LayerPath, number>();
  readonly #opaque = new Set<LayerPath>();
  #implied = 0;
  #keptChars = 0;

  constructor(root: number) {
    this.#root = root;
  }

  get fd(): number {
    return this.#root;
  }

  /** Directories that were made though no entry described them. */
  get implied(): number {
    return this.#implied;
  }

  /** The directory, made with its parents where it is missing. Two calls' results stay open side by side. */
  directory(path: LayerPath): number {
    const open = this.existing(path);
    if (open !== undefined) return open;
    this.#make(path, unpackLimits.symlinks);
    return this.#keep(path, openInRoot(this.#root, path));
  }

  /** The directory, or undefined when it, or one on the way, is not there or no directory. */
  existing(path: LayerPath): number | undefined {
    if (path === '') return this.#root;
    const open = this.#open.get(path);
    if (open !== undefined) {
      // moved to the end: the first of the map is the one unused for longest
      this.#open.delete(path);
      this.#open.set(path, open);
      return open;
    }
    try {
      return this.#keep(path, openInRoot(this.#root, path));
    } catch (error) {
      const code = codeOf(error);
      // a symlink on the way may lead to a name that no file can have
      if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENAMETOOLONG')
        return undefined;
      throw error;
    }
  }

  /** Marks the directory `path`, which is `name` in `fd`, as opaque. */
  makeOpaque(path: LayerPath, fd: number, name: ByteString): void {
    setXattrAt(fd, name, OPAQUE_XATTR, YES);
    if (this.#opaque.has(path)) return;
    this.keepPath(path);
    this.#opaque.add(path);
  }

  /** The layer has said so, though what stood there then may have been replaced since. */
  isOpaque(path: LayerPath): boolean {
    return this.#opaque.has(path);
  }

  /** True when a directory on the way to the entry is opaque, so that nothing of lower layers can show there. */
  isBelowOpaque(path: LayerPath): boolean {
    if (this.#opaque.size === 0) return false;
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      if (this.#opaque.has(path.slice(0, slash))) return true;
    }
    return false;
  }

  /** Counts a path that somebody remembers until the layer's end; throws when they are too many. */
  keepPath(path: LayerPath): void {
    this.#keptChars += path.length;
    if (this.#keptChars > unpackLimits.directoryChars) {
      fail(
        'exhausted',
        `the paths of directories and whiteouts have more than ${unpackLimits.directoryChars} bytes`,
        { retryable: false },
      );
    }
  }

  /** A directory or symlink was taken away: what is open may no longer be what its path means. `except` is in use. */
  forget(except: number): void {
    for (const [path, fd] of this.#open) {
      if (fd === except) continue;
      closeSync(fd);
      this.#open.delete(path);
    }
  }

  /** Closes everything but the root itself. */
  close(): void {
    this.forget(-1);
  }

  #keep(path: LayerPath, fd: number): number {
    if (this.#open.size >= unpackLimits.openDirectories) {
      for (const [oldest, oldFd] of this.#open) {
        closeSync(oldFd);
        this.#open.delete(oldest);
        break;
      }
    }
    this.#open.set(path, fd);
    return fd;
  }

  /**
   * Makes each missing component; a symlink that leads to nothing gets its target made, below the root (as containerd
   * does). One step per component, not one walk from the root: a path can have 2000.
   */
  #make(path: LayerPath, follows: number): void {
    let fd = this.#root;
    let done = '';
    try {
      for (const name of path.split('/')) {
        const child = this.#child(fd, done, name, follows);
        if (fd !== this.#root) closeSync(fd);
        fd = child;
        done = done === '' ? name : `${done}/${name}`;
      }
    } finally {
      if (fd !== this.#root) closeSync(fd);
    }
  }

  /** Opens the directory `name` of `fd`, whose path is `parent`; the caller closes it. */
  #child(fd: number, parent: LayerPath, name: ByteString, follows: number): number {
    const stats = statAt(fd, name);
    if (stats?.isDirectory() === true) return openDirectoryAt(fd, name);
    if (stats?.isSymbolicLink() === true) return this.#linked(fd, parent, name, follows);
    if (stats !== undefined && !isWhiteout(stats))
      refuseTar(`${shown(name)} is used as a directory and is none`);
    // one entry can imply 2000 directories: they count as entries do
    this.#implied += 1;
    if (this.#implied > unpackLimits.entries) {
      fail('exhausted', `it implies more than ${unpackLimits.entries} directories that no entry describes`, {
        retryable: false,
      });
    }
    if (stats !== undefined) unlinkAt(fd, name);
    mkdirAt(fd, name, IMPLIED_MODE);
    // the umask and the set-group-id bit of the parent have had their say
    chownAt(fd, name, 0, 0);
    chmodAt(fd, name, IMPLIED_MODE);
    // hidden and made anew in the same layer: nothing of the lower one may shine through
    const path = parent === '' ? name : `${parent}/${name}`;
    if (stats !== undefined || this.#opaque.has(path)) this.makeOpaque(path, fd, name);
    return openDirectoryAt(fd, name);
  }

  #linked(fd: number, parent: LayerPath, name: ByteString, follows: number): number {
    const path = parent === '' ? name : `${parent}/${name}`;
    try {
      return openInRoot(this.#root, path);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
    if (follows === 0) refuseTar(`the path ${shown(path)} leads through too many symlinks`);
    this.#make(targetBelow(parent, readLinkAt(fd, name)), follows - 1);
    return openInRoot(this.#root, path);
  }
}

/** Where a symlink leads, by its text alone; `..` ends at the root. A text that is wrong about links on the way still stays below the root. */
function targetBelow(parent: LayerPath, target: ByteString): LayerPath {
  const parts: ByteString[] = target.startsWith('/') || parent === '' ? [] : parent.split('/');
  for (const part of target.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.length === 0
    ? refuseTar(`a symlink to ${shown(target)} is used as a directory`)
    : parts.join('/');
}
