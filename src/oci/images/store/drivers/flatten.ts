/**
 * Copies layers over each other into one tree, with the result that overlayfs would show (Linux, filesystems/overlayfs:
 * whiteouts, opaque directories), for drivers without overlayfs. Runs in a storage worker. Blocks are shared if the
 * file system supports it (FICLONE). Nobody else writes to the trees; names are used below descriptors, and no symlink
 * is followed.
 */
import { closeSync, constants, copyFileSync, fstatSync, lstatSync, mkdirSync } from 'node:fs';
import type { BigIntStats, Stats } from 'node:fs';
import { dirname } from 'node:path';
import { fail } from '../../../../base/fault.ts';
import { storageLimits } from '../../../bounds.ts';
import { codeOf } from '../../../../host/ffi/errno.ts';
import type { SpaceGuard } from '../../../../host/files/free-space.ts';
import { getXattrAt, listXattrsAt } from '../../../../host/files/files-at.ts';
import { shown } from '../../../../base/byte-string.ts';
import type { ByteString } from '../../../../base/byte-string.ts';
import {
  chmodAt,
  chownAt,
  isWhiteout,
  linkAt,
  listDirectory,
  mkdirAt,
  mknodAt,
  openDirectoryAt,
  readLinkAt,
  setTimeAt,
  setXattrAt,
  statAt,
  symlinkAt,
} from '../../../trees/entry-calls.ts';
import { openOwnDirectory } from '../../../trees/own-directory.ts';
import { removeTreeAt } from '../../../trees/remove-tree.ts';
import { PRIVATE_MODE } from './modes.ts';
import type { FlattenRequest } from './rootfs-driver.ts';
import { copySparse } from './sparse-copy.ts';

/** Prefix of overlayfs's xattrs. They are not copied: they have no meaning outside a layer. */
const OVERLAY_XATTR = 'trusted.overlay.';
const OPAQUE = 'trusted.overlay.opaque';
const SELINUX = 'security.selinux';
/** The unit of st_blocks (stat(2)). */
const STAT_BLOCK_BYTES = 512;

interface Copying {
  readonly label: Buffer | undefined;
  /** Descriptor of a directory with one name for each copied hard-linked file of this layer, named by its inode. */
  readonly links: number;
  readonly linked: Set<string>;
  readonly disk: Disk;
}

/** Where the copies are written. */
interface Disk {
  readonly space: SpaceGuard | undefined;
  /** Whether the file system shares blocks, so that copies take no space; undefined until it was tried. */
  canClone: boolean | undefined;
}

/**
 * Copies all layers. The target gets the attributes of the highest layer's root. `space` throws if the disk has too
 * little free space; it is not called if blocks are shared.
 */
export function flattenLayers({ layers, target, scratch, label }: FlattenRequest, space?: SpaceGuard): void {
  const to = openOwnDirectory(target);
  const disk: Disk = { space, canClone: undefined };
  try {
    for (const layer of layers) copyLayer(layer, to, scratch, label, disk);
  } finally {
    closeSync(to);
  }
}

function copyLayer(layer: string, to: number, scratch: string, label: string | undefined, disk: Disk): void {
  const from = openOwnDirectory(layer);
  try {
    removeScratch(scratch);
    mkdirSync(scratch, { mode: PRIVATE_MODE });
    const links = openOwnDirectory(scratch);
    try {
      const copying = {
        label: label === undefined ? undefined : Buffer.from(`${label}\0`),
        links,
        linked: new Set<string>(),
        disk,
      };
      copyDirectory(from, '.', to, '.', 0, copying);
    } finally {
      closeSync(links);
      removeScratch(scratch);
    }
  } finally {
    closeSync(from);
  }
}

function removeScratch(scratch: string): void {
  const parent = openOwnDirectory(dirname(scratch));
  try {
    removeTreeAt(parent, Buffer.from(scratch.slice(dirname(scratch).length + 1)).toString('latin1'));
  } finally {
    closeSync(parent);
  }
}

/** Copies the directory `name` of `from` over the existing directory `toName` of `to`. */
function copyDirectory(
  from: number,
  name: ByteString,
  to: number,
  toName: ByteString,
  depth: number,
  copying: Copying,
): void {
  if (depth > storageLimits.flattenDepth)
    fail(
      'unsupported',
      `copy directory ${shown(name)}: it is more than ${storageLimits.flattenDepth} levels deep`,
    );
  const source = openDirectoryAt(from, name);
  const target = openDirectoryAt(to, toName);
  try {
    if (isOpaque(from, name)) for (const entry of listDirectory(target)) removeTreeAt(target, entry.name);
    for (const entry of listDirectory(source)) copyEntry(source, entry.name, target, depth, copying);
    copyAttributes(from, name, fstatSync(source, { bigint: true }), to, toName, copying);
  } finally {
    closeSync(source);
    closeSync(target);
  }
}

function isOpaque(from: number, name: ByteString): boolean {
  const value = getXattrAt(from, nameOf(name), OPAQUE);
  return value !== undefined && Buffer.from(value).toString('latin1') === 'y';
}

function copyEntry(from: number, name: ByteString, to: number, depth: number, copying: Copying): void {
  const stats = statAt(from, name) ?? fail('outside', `copy ${shown(name)}: it was deleted meanwhile`);
  const below = statAt(to, name);
  if (stats.isDirectory()) {
    if (below !== undefined && !below.isDirectory()) removeTreeAt(to, name);
    if (below?.isDirectory() !== true) {
      if (copying.disk.canClone === false) copying.disk.space?.take(0, 1);
      mkdirAt(to, name, PRIVATE_MODE);
    }
    copyDirectory(from, name, to, name, depth + 1, copying);
    return;
  }
  if (below !== undefined) removeTreeAt(to, name);
  if (isWhiteout(stats)) return;
  const key = String(stats.ino);
  if (stats.nlink > 1 && copying.linked.has(key)) {
    linkAt(copying.links, key, to, name);
    return;
  }
  copyNode(from, name, stats, to, copying.disk);
  copyAttributes(from, name, bigStat(from, name), to, name, copying);
  if (stats.nlink <= 1) return;
  linkAt(to, name, copying.links, key);
  copying.linked.add(key);
}

function copyNode(from: number, name: ByteString, stats: Stats, to: number, disk: Disk): void {
  if (!stats.isFile() && disk.canClone === false) disk.space?.take(0, 1);
  if (stats.isSymbolicLink()) {
    symlinkAt(readLinkAt(from, name), to, name);
  } else if (stats.isFile()) {
    copyFile(from, name, stats, to, disk);
  } else {
    // devices, FIFOs and sockets; device numbers are packed as by makedev(3)
    const major = Number((BigInt(stats.rdev) >> 8n) & 0xfffn);
    const minor = Number((BigInt(stats.rdev) & 0xffn) | ((BigInt(stats.rdev) >> 12n) & 0xfff00n));
    mknodAt(to, name, stats.mode, major, minor);
  }
}

/**
 * Copies a file by FICLONE or copy_file_range, or, if it has holes, by `copySparse`: copy_file_range can fill holes.
 */
function copyFile(from: number, name: ByteString, stats: Stats, to: number, disk: Disk): void {
  const [source, target] = [pathOf(from, name), pathOf(to, name)];
  const bytes = stats.blocks * STAT_BLOCK_BYTES;
  const hasHoles = bytes < stats.size;
  // an empty file cannot show whether blocks can be shared
  if (disk.canClone !== false && bytes > 0) {
    if (cloneFile(source, target)) {
      disk.canClone = true;
      return;
    }
    disk.canClone = false;
    removeTreeAt(to, name);
  }
  disk.space?.take(bytes, 1);
  if (hasHoles) copySparse(source, target);
  else copyFileSync(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
}

/** Returns false if the file system cannot share blocks between these files. */
function cloneFile(source: Buffer, target: Buffer): boolean {
  try {
    copyFileSync(source, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOSPC') throw error;
    return false;
  }
}

function copyAttributes(
  from: number,
  name: ByteString,
  stats: BigIntStats,
  to: number,
  toName: ByteString,
  copying: Copying,
): void {
  chownAt(to, toName, Number(stats.uid), Number(stats.gid));
  if (!stats.isSymbolicLink()) chmodAt(to, toName, Number(stats.mode & 0o7777n));
  // xattrs last: chown(2) clears file capabilities, and chmod(2) changes an ACL's mask
  for (const xattr of listXattrsAt(from, nameOf(name))) {
    if (xattr.startsWith(OVERLAY_XATTR) || xattr === SELINUX) continue;
    const value = getXattrAt(from, nameOf(name), xattr);
    if (value !== undefined)
      setXattrAt(to, toName, Buffer.from(xattr).toString('latin1'), Buffer.from(value));
  }
  if (copying.label !== undefined) setXattrAt(to, toName, SELINUX, copying.label);
  setTimeAt(to, toName, stats.mtimeNs);
}

function nameOf(name: ByteString): Buffer {
  return Buffer.from(name, 'latin1');
}

function pathOf(fd: number, name: ByteString): Buffer {
  return Buffer.from(`/proc/self/fd/${fd}/${name}`, 'latin1');
}

function bigStat(fd: number, name: ByteString): BigIntStats {
  return lstatSync(pathOf(fd, name), { bigint: true });
}
