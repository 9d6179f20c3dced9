/** The root of a layer that is being unpacked, and the open directories below it. */
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
  openDirectoryInRoot,
  readLinkAt,
  setXattrAt,
  statAt,
  unlinkAt,
} from '../trees/entry-calls.ts';

/** overlayfs does not merge lower directories into one with this xattr (Documentation/filesystems/overlayfs.rst). */
export const OPAQUE_XATTR = 'trusted.overlay.opaque';
const YES = Buffer.from('y');
/** Mode of directories that have no entry of their own, as in the peers and GNU tar with umask 022. */
const IMPLIED_MODE = 0o755;

/**
 * Directories by path. They are opened by openat2 with RESOLVE_IN_ROOT and stay open until a directory or symlink is
 * deleted. All writing in the layer uses these descriptors, so that no path of an archive can lead out of the root.
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

  /** Number of directories that were created although no entry describes them. */
  get implied(): number {
    return this.#implied;
  }

  /**
   * The directory; creates it and its parents if missing. The results of the last two calls are open at the same time.
   */
  directory(path: LayerPath): number {
    const open = this.existing(path);
    if (open !== undefined) return open;
    this.#make(path, unpackLimits.symlinks);
    return this.#keep(path, openDirectoryInRoot(this.#root, path));
  }

  /** The directory, or undefined if it or a parent does not exist or is not a directory. */
  existing(path: LayerPath): number | undefined {
    if (path === '') return this.#root;
    const open = this.#open.get(path);
    if (open !== undefined) {
      // move to the end: the first in the map is then the least recently used
      this.#open.delete(path);
      this.#open.set(path, open);
      return open;
    }
    try {
      return this.#keep(path, openDirectoryInRoot(this.#root, path));
    } catch (error) {
      const code = codeOf(error);
      // ENAMETOOLONG: a symlink on the way can lead to a name that is too long
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

  /** Whether the layer has marked this path as opaque. What was there then may have been replaced since. */
  isOpaque(path: LayerPath): boolean {
    return this.#opaque.has(path);
  }

  /** Whether a parent of the entry is opaque, so that lower layers are not visible there. */
  isBelowOpaque(path: LayerPath): boolean {
    if (this.#opaque.size === 0) return false;
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      if (this.#opaque.has(path.slice(0, slash))) return true;
    }
    return false;
  }

  /** Counts a path that is kept in memory until the layer's end. Throws if the bound is exceeded. */
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

  /** Closes all directories but `except`, which is in use: after a deletion, their paths may mean something else. */
  forget(except: number): void {
    for (const [path, fd] of this.#open) {
      if (fd === except) continue;
      closeSync(fd);
      this.#open.delete(path);
    }
  }

  /** Closes all directories except the root. */
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
   * Creates each missing component. For a dangling symlink, creates its target below the root, as containerd does. Each
   * component is opened below its parent, not from the root: a path can have 2000 components.
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
      refuseTar(`${shown(name)} is used as a directory but is not one`);
    // one entry can imply 2000 directories, so they count like entries
    this.#implied += 1;
    if (this.#implied > unpackLimits.entries) {
      fail('exhausted', `more than ${unpackLimits.entries} directories have no entry of their own`, {
        retryable: false,
      });
    }
    if (stats !== undefined) unlinkAt(fd, name);
    mkdirAt(fd, name, IMPLIED_MODE);
    // undo the effects of the umask and of the parent's set-group-id bit
    chownAt(fd, name, 0, 0);
    chmodAt(fd, name, IMPLIED_MODE);
    // this layer has hidden the lower directory: its entries must not appear in the new one
    const path = parent === '' ? name : `${parent}/${name}`;
    if (stats !== undefined || this.#opaque.has(path)) this.makeOpaque(path, fd, name);
    return openDirectoryAt(fd, name);
  }

  #linked(fd: number, parent: LayerPath, name: ByteString, follows: number): number {
    const path = parent === '' ? name : `${parent}/${name}`;
    try {
      return openDirectoryInRoot(this.#root, path);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
    if (follows === 0) refuseTar(`the path ${shown(path)} leads through too many symlinks`);
    this.#make(targetBelow(parent, readLinkAt(fd, name)), follows - 1);
    return openDirectoryInRoot(this.#root, path);
  }
}

/**
 * Resolves a symlink by its text alone; `..` stops at the root. Even if links on the way lead elsewhere, the result is
 * below the root.
 */
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
