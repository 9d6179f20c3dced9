/**
 * Files of ours that are gone after a reboot. The state directory is a tmpfs on a node, and what lies in memory waits
 * for no device: a call takes the kernel some µs, but a hop through libuv's pool takes the daemon twenty times that,
 * and a pod's life has some sixty of them. So there each is done at once; on any other file system it goes through
 * the pool, as everything else does.
 *
 * Only for paths whose every part we, the runtime or its monitor made: no mount of a user's lies on the way.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
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
  lstat,
  mkdir,
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

/** statfs(2): f_type of tmpfs and of ramfs. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01_02_19_94, 0x85_84_58_f6]);

/** The directories that lie in memory, each with a slash at its end. */
const inMemory = new Set<string>();

/** Looks whether this directory lies in memory; call it before any file below is touched. */
export async function recogniseMemory(directory: string): Promise<void> {
  if (IN_MEMORY.has(await filesystemType(directory))) inMemory.add(`${directory}/`);
}

/** True when nothing at this path waits for a device. */
export function isInMemory(path: string): boolean {
  for (const directory of inMemory) if (path.startsWith(directory)) return true;
  return false;
}

/** Makes a directory and those above it that are missing; true when it was not there. */
export async function makeOwnDirectory(path: string, mode: number): Promise<boolean> {
  const options = { recursive: true, mode } as const;
  return (isInMemory(path) ? mkdirSync(path, options) : await mkdir(path, options)) !== undefined;
}

export async function setOwnMode(path: string, mode: number): Promise<void> {
  if (isInMemory(path)) chmodSync(path, mode);
  else await chmod(path, mode);
}

/** Writes in place. Not synced. A FIFO in its place is an error (ENXIO), and not waited for. */
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

/** Makes a symbolic link; one that is there already stays as it is. */
export async function linkOwn(target: string, path: string): Promise<void> {
  try {
    if (isInMemory(path)) symlinkSync(target, path);
    else await symlink(target, path);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}

/** Where a symbolic link leads, as its text; undefined for what is no link, or not there. */
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

/** What is at the path, links followed; undefined when nothing is. */
export async function statOwn(path: string): Promise<Stats | undefined> {
  try {
    return isInMemory(path) ? statSync(path, { throwIfNoEntry: false }) : await stat(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** What has this name itself, links not followed; undefined when there is nothing. */
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

/** The entries of a directory; undefined when there is none. */
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

/** Deletes what has this name and is no directory; nothing there is success. */
export async function removeFile(path: string): Promise<void> {
  try {
    if (!isInMemory(path)) await unlink(path);
    // an error that is thrown costs more than this look
    else if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** Deletes an empty directory; nothing there is success. */
export async function removeEmpty(path: string): Promise<void> {
  try {
    if (isInMemory(path)) rmdirSync(path);
    else await rmdir(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/**
 * The whole of a regular file, empty when it has more than `bytesMax` bytes; undefined when there is none. For paths in
 * memory only. The buffer is as large as the file, not as the bound: to map 8 MiB and free them takes longer than the read.
 */
export function readAtOnce(path: string, bytesMax: number): Buffer | undefined {
  // what is absent is the usual case of several callers, and an error that is thrown costs more than this call
  if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return undefined;
  try {
    // whatever is in its place by now: a FIFO opens at once
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

/** Undefined when there are more bytes: the file has grown, or is beyond its bound. */
function readFrom(fd: number, bytesMost: number): Buffer | undefined {
  const bytes = Buffer.allocUnsafe(bytesMost + 1);
  const length = readSync(fd, bytes, 0, bytes.length, 0);
  return length > bytesMost ? undefined : bytes.subarray(0, length);
}

export interface OwnFile {
  readonly stat: BigIntStats;
  /** Empty of what is no regular file. */
  readonly bytes: Buffer;
}

/** As it is at its name: a link is ELOOP, and nothing waits for the other end of a FIFO. Undefined when there is none. */
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
