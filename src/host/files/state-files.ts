/**
 * Files of ours that do not survive a reboot. On a node the state directory is a tmpfs, and files in memory
 * never wait for a device: a call takes the kernel some µs, while the way through libuv's pool takes twenty
 * times that, and one pod needs some sixty calls. So they are called synchronously there; on any other file
 * system they go through the pool, as everything else does.
 *
 * Only for paths whose every component troupe, the runtime or its monitor created: no user's mount lies on
 * them.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import type { BigIntStats, Dirent, Stats } from 'node:fs';
import {
  chmod,
  lchown,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readlink,
  rename,
  rmdir,
  stat,
  symlink,
  unlink,
} from 'node:fs/promises';
import { codeOf, isAbsent } from '../ffi/errno.ts';
import { filesystemType } from './directory-lock.ts';
import type { Owner } from './files.ts';

/** f_type of tmpfs and of ramfs in statfs(2). */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01_02_19_94, 0x85_84_58_f6]);

/** The directories that lie in memory, each with a trailing slash. */
const inMemory = new Set<string>();

/** Checks whether this directory lies in memory; call it before any file below is used. */
export async function recogniseMemory(directory: string): Promise<void> {
  if (IN_MEMORY.has(await filesystemType(directory))) inMemory.add(`${directory}/`);
}

/** True when no call on this path can wait for a device. */
export function isInMemory(path: string): boolean {
  for (const directory of inMemory) if (path.startsWith(directory)) return true;
  return false;
}

/** Creates a directory and its missing parents; true when it did not exist. */
export async function makeOwnDirectory(path: string, mode: number): Promise<boolean> {
  const options = { recursive: true, mode } as const;
  return (isInMemory(path) ? mkdirSync(path, options) : await mkdir(path, options)) !== undefined;
}

export async function setOwnMode(path: string, mode: number): Promise<void> {
  if (isInMemory(path)) chmodSync(path, mode);
  else await chmod(path, mode);
}

/** Gives a file or directory, not what a link there leads to, to another user. */
export async function setOwnOwner(path: string, { uid, gid }: Owner): Promise<void> {
  if (isInMemory(path)) lchownSync(path, uid, gid);
  else await lchown(path, uid, gid);
}

/** Creates a directory of a name that none has: the prefix and six characters, with the mode 0700. Returns its path. */
export async function makeOwnUnique(prefix: string): Promise<string> {
  return isInMemory(prefix) ? mkdtempSync(prefix) : await mkdtemp(prefix);
}

/** Writes in place; not synced. A FIFO in its place is an error (ENXIO) and does not block. */
export async function writeOwnFile(path: string, content: string | Uint8Array, mode: number): Promise<void> {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NONBLOCK } = constants;
  const flags = O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK;
  if (!isInMemory(path)) {
    const file = await open(path, flags, mode);
    try {
      await file.writeFile(content);
    } finally {
      await file.close();
    }
    return;
  }
  const fd = openSync(path, flags, mode);
  try {
    writeFileSync(fd, content);
  } finally {
    closeSync(fd);
  }
}

/** Creates a symbolic link; an existing one stays as it is. */
export async function linkOwn(target: string, path: string): Promise<void> {
  try {
    if (isInMemory(path)) symlinkSync(target, path);
    else await symlink(target, path);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}

/** The text of a symbolic link; undefined when it does not exist or is not a link. */
export async function readOwnLink(path: string): Promise<string | undefined> {
  try {
    return isInMemory(path) ? readlinkSync(path) : await readlink(path);
  } catch (error) {
    if (codeOf(error) === 'EINVAL' || isAbsent(error)) return undefined;
    throw error;
  }
}

export async function renameOwn(from: string, to: string): Promise<void> {
  if (isInMemory(from)) renameSync(from, to);
  else await rename(from, to);
}

/** Data of the file at the path, links followed; undefined when it does not exist. */
export async function statOwn(path: string): Promise<Stats | undefined> {
  try {
    return isInMemory(path) ? statSync(path, { throwIfNoEntry: false }) : await stat(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Data of the entry itself, links not followed; undefined when it does not exist. */
export async function lstatOwn(path: string): Promise<BigIntStats | undefined> {
  try {
    return isInMemory(path)
      ? lstatSync(path, { bigint: true, throwIfNoEntry: false })
      : await lstat(path, { bigint: true });
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** The entries of a directory; undefined when it does not exist. */
export async function readOwnDirectory(path: string): Promise<Dirent[] | undefined> {
  try {
    return isInMemory(path)
      ? readdirSync(path, { withFileTypes: true })
      : await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Deletes an entry that is not a directory; succeeds when it does not exist. */
export async function removeFile(path: string): Promise<void> {
  try {
    if (!isInMemory(path)) await unlink(path);
    // a thrown error costs more than this check
    else if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** Deletes an empty directory; succeeds when it does not exist. */
export async function removeEmpty(path: string): Promise<void> {
  try {
    if (isInMemory(path)) rmdirSync(path);
    else await rmdir(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/**
 * The content of a regular file, empty when it has more than `bytesMax` bytes; undefined when it does not
 * exist. Only for paths in memory. The buffer has the file's size, not the bound's: mapping and freeing 8 MiB
 * takes longer than the read.
 */
export function readAtOnce(path: string, bytesMax: number): Buffer | undefined {
  // several callers usually read absent files, and a thrown error costs more than this call
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return undefined;
  try {
    // O_NONBLOCK: the file may have been replaced by now, and a FIFO then opens at once
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const found = fstatSync(fd);
      if (!found.isFile()) return undefined;
      return readFrom(fd, Math.min(found.size, bytesMax)) ?? readFrom(fd, bytesMax) ?? Buffer.alloc(0);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (isAbsent(error) || codeOf(error) === 'ENXIO') return undefined;
    throw error;
  }
}

/** Undefined when the file is longer: it has grown, or is above its bound. */
function readFrom(fd: number, bytesMost: number): Buffer | undefined {
  const bytes = Buffer.allocUnsafe(bytesMost + 1);
  const length = readSync(fd, bytes, 0, bytes.length, 0);
  return length > bytesMost ? undefined : bytes.subarray(0, length);
}

export interface OwnFile {
  readonly stat: BigIntStats;
  /** Empty when it is not a regular file. */
  readonly bytes: Buffer;
}

/**
 * Data and content of the entry itself: a link gives ELOOP, and a FIFO does not block. Undefined when it does
 * not exist.
 */
export async function readOwnFile(path: string, bytesMax: number): Promise<OwnFile | undefined> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const bytes = Buffer.alloc(bytesMax);
  try {
    if (isInMemory(path)) {
      const fd = openSync(path, flags);
      try {
        const found = fstatSync(fd, { bigint: true });
        return {
          stat: found,
          bytes: bytes.subarray(0, found.isFile() ? readSync(fd, bytes, 0, bytesMax, 0) : 0),
        };
      } finally {
        closeSync(fd);
      }
    }
    const file = await open(path, flags);
    try {
      const found = await file.stat({ bigint: true });
      return {
        stat: found,
        bytes: bytes.subarray(0, found.isFile() ? (await file.read(bytes, 0, bytesMax, 0)).bytesRead : 0),
      };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
