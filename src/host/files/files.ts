/**
 * Files below a root whose content is untrusted (an image, a volume). The kernel resolves every path inside
 * that root (openat2 with RESOLVE_IN_ROOT and NO_MAGICLINKS), so that neither a link nor a concurrent rename
 * leads out (S54).
 */
import { closeSync, fstat, fsync, read, write } from 'node:fs';
import { readlink } from 'node:fs/promises';
import { posix } from 'node:path';
import { promisify } from 'node:util';
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { errnoName, isAbsent, must } from '../ffi/errno.ts';
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
} from '../ffi/constants.ts';
import { libc } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';
import { openBelow, openOfImage, withFd, withPathFd, withRoot } from './open-in-root.ts';
import type { Root } from './open-in-root.ts';

const fstatLater = promisify(fstat);
const fsyncLater = promisify(fsync);
const readLater = promisify(read);
const writeLater = promisify(write);

/**
 * Opens `path` inside `root`, the root of an image or container. The descriptor is close-on-exec; the caller closes it.
 */
export async function openInRoot(root: Root, path: string, flags: number, mode = 0): Promise<number> {
  return withRoot(root, async (fd) => must(await openOfImage(fd, path, flags, mode), 'open', path));
}

/**
 * The content of a regular file inside a root; undefined when it does not exist. Anything but a regular file,
 * and a file above `bytesMax`, is refused before a byte is read (S10: a FIFO would block, a device may never
 * end). For files of the host: a link that fs.protected_symlinks forbids is not followed.
 */
export function readFileInRoot(
  root: Root,
  path: string,
  options: { bytesMax: number },
): Promise<Uint8Array | undefined> {
  return readFound(root, path, options, openBelow);
}

/** The same in the root of an image or container: all its links are followed, whoever owns them. */
export function readFileOfImage(
  root: Root,
  path: string,
  options: { bytesMax: number },
): Promise<Uint8Array | undefined> {
  return readFound(root, path, options, openOfImage);
}

async function readFound(
  root: Root,
  path: string,
  options: { bytesMax: number },
  open: typeof openBelow,
): Promise<Uint8Array | undefined> {
  return withRoot(root, async (rootFd) => {
    // O_PATH first, since opening a FIFO or a device has side effects
    const found = await open(rootFd, path, O_PATH, 0);
    if (found.result === -1 && ['ENOENT', 'ENOTDIR'].includes(errnoName(found.errno))) return undefined;
    return withPathFd(must(found, 'read', path), async (fd) => {
      const stat = await fstatLater(fd);
      if (!stat.isFile()) fail('invalidRequest', `read ${path}: not a regular file`, { subject: path });
      if (stat.size > options.bytesMax) tooLarge(path, options.bytesMax);
      const flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
      const opened = await callInPool('files', libc.openat, AT_FDCWD, `/proc/self/fd/${fd}`, flags, 0);
      return withFd(must(opened, 'read', path), (file) => readAll(file, stat.size, path, options.bytesMax));
    });
  });
}

function tooLarge(path: string, bytesMax: number): never {
  return fail('invalidRequest', `read ${path}: larger than ${bytesMax} bytes`, { subject: path });
}

async function readAll(file: number, sizeHint: number, path: string, bytesMax: number): Promise<Uint8Array> {
  // files of /proc and /sys have size 0 and content; reading one byte more than allowed shows that there is
  // more
  const roomBytes = Math.min(sizeHint === 0 ? bytesMax : sizeHint, bytesMax) + 1;
  const buffer = Buffer.alloc(roomBytes);
  let length = 0;
  while (length < roomBytes) {
    const { bytesRead } = await readLater(file, buffer, length, roomBytes - length, null);
    length += bytesRead;
    // of a regular file with a size, a read is short only at its end
    const isEnd = bytesRead === 0 || (sizeHint > 0 && length <= sizeHint);
    if (isEnd) return Uint8Array.from(buffer.subarray(0, length));
  }
  if (length > bytesMax) tooLarge(path, bytesMax);
  return fail('outside', `read ${path}: grew while being read`, { subject: path, retryable: true });
}

/** Ids on the host. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** A directory to be created. */
interface Making {
  /** As the caller requested it. */
  readonly path: string;
  readonly mode: number;
  readonly owner: Owner | undefined;
  /** Dangling links that may still be followed, over the whole path. */
  readonly budget: { links: number };
  readonly steps: DirectorySteps;
}

/** Directories that may still be visited, over all paths that share it. */
export interface DirectorySteps {
  left: number;
}

/** For the paths that one image names. */
export const directorySteps = (): DirectorySteps => ({ left: hostLimits.directorySteps });

/**
 * Creates a directory inside a root with all its parents; an existing directory keeps its mode and owner.
 * Where a link dangles, its target is created, inside the root too: an image may lack the /run to which its
 * /var/run links.
 */
export async function mkdirInRoot(
  root: Root,
  path: string,
  mode: number,
  owner?: Owner,
  steps = directorySteps(),
): Promise<void> {
  const below = posix.normalize(`/${path}`);
  // as the working directory of most images
  if (below === '/') return;
  await withRoot(root, (rootFd) =>
    mkdirBelow(rootFd, below, {
      path,
      mode,
      owner,
      budget: { links: hostLimits.symlinks },
      steps,
    }),
  );
}

async function mkdirBelow(rootFd: number, path: string, making: Making): Promise<void> {
  const parts = path.split('/').filter((part) => part !== '');
  if (parts.length > hostLimits.pathComponents)
    fail(
      'invalidRequest',
      `create directory ${making.path}: more than ${hostLimits.pathComponents} components`,
      { subject: making.path },
    );
  making.steps.left -= parts.length;
  if (making.steps.left < 0)
    fail(
      'invalidRequest',
      `create directory ${making.path}: the image names more than ${hostLimits.directorySteps} directories`,
      { subject: making.path },
    );
  for (let depth = 1; depth <= parts.length; depth += 1) {
    const prefix = parts.slice(0, depth).join('/');
    const found = await openBelow(rootFd, prefix, O_PATH | O_DIRECTORY, 0);
    if (found.result !== -1) closeSync(found.result);
    else if (errnoName(found.errno) !== 'ENOENT') must(found, 'create directory', making.path);
    else await mkdirOnce(rootFd, parts.slice(0, depth), making);
  }
}

async function mkdirOnce(rootFd: number, parts: readonly string[], making: Making): Promise<void> {
  const { path, mode, owner } = making;
  const name = parts.at(-1) ?? '';
  const above = parts.slice(0, -1).join('/') || '.';
  const parent = await openBelow(rootFd, above, O_PATH | O_DIRECTORY, 0);
  await withPathFd(must(parent, 'create directory', path), async (fd) => {
    const made = await callInPool('files', libc.mkdirat, fd, name, mode);
    if (made.result === 0) {
      if (owner === undefined) return;
      must(
        await callInPool('files', libc.fchownat, fd, name, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW),
        'set the owner of',
        path,
      );
      return;
    }
    if (errnoName(made.errno) !== 'EEXIST') must(made, 'create directory', path);
    const again = await openBelow(rootFd, parts.join('/'), O_PATH | O_DIRECTORY, 0);
    if (again.result !== -1) return closeSync(again.result);
    // another process created it meanwhile, or it is a dangling link
    if (errnoName(again.errno) !== 'ENOENT') must(again, 'create directory', path);
    making.budget.links -= 1;
    if (making.budget.links < 0)
      fail('invalidRequest', `create directory ${path}: too many links in the path`, { subject: path });
    const target = await readlink(`/proc/self/fd/${fd}/${name}`);
    await mkdirBelow(rootFd, target.startsWith('/') ? target : `${above}/${target}`, making);
  });
}

/**
 * Creates a symbolic link in an existing directory; false when the directory does not exist or already has
 * that name. `target` is not checked.
 */
export async function symlinkInRoot(
  root: Root,
  directory: string,
  name: string,
  target: string,
  owner?: Owner,
): Promise<boolean> {
  return withRoot(root, async (rootFd) => {
    const found = await openBelow(rootFd, directory, O_PATH | O_DIRECTORY, 0);
    if (found.result === -1 && ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoName(found.errno))) return false;
    return withPathFd(must(found, 'create link', `${directory}/${name}`), async (fd) => {
      const made = await callInPool('files', libc.symlinkat, target, fd, name);
      if (made.result === -1 && errnoName(made.errno) === 'EEXIST') return false;
      must(made, 'create link', `${directory}/${name}`);
      if (owner !== undefined)
        must(
          await callInPool('files', libc.fchownat, fd, name, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW),
          'set the owner of',
          name,
        );
      return true;
    });
  });
}

export interface WriteOptions {
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
}

let temporaryFiles = 0;

/** A name that no other call of this process uses; O_EXCL protects against other processes. */
function temporaryName(name: string): string {
  temporaryFiles += 1;
  return `.${name.slice(0, 100)}.${process.pid}-${temporaryFiles}.tmp`;
}

/**
 * Writes a file inside a root by a temporary file and a rename: an existing entry of that name (a FIFO, a
 * device, a link) is replaced, never opened or followed. The parent directory must exist. Not synced.
 */
export async function writeFileInRoot(
  root: Root,
  path: string,
  bytes: Uint8Array,
  options: WriteOptions,
): Promise<void> {
  const { dir, base } = posix.parse(posix.normalize(`/${path}`));
  if (base === '') fail('invalidRequest', `write ${path}: not a file name`, { subject: path });
  await withRoot(root, async (rootFd) => {
    const parent = must(await openBelow(rootFd, dir, O_PATH | O_DIRECTORY, 0), 'write', path);
    await withFd(parent, (fd) => replaceAt(fd, base, bytes, options, path, false));
  });
}

async function replaceAt(
  directory: number,
  name: string,
  bytes: Uint8Array,
  options: WriteOptions,
  path: string,
  isSynced: boolean,
): Promise<void> {
  const temporary = temporaryName(name);
  // created without permissions: nobody can open it before owner and mode are set
  const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const file = must(await callInPool('files', libc.openat, directory, temporary, flags, 0), 'write', path);
  try {
    await withFd(file, async (fd) => {
      let written = 0;
      while (written < bytes.length) {
        written += (await writeLater(fd, bytes, written, bytes.length - written, null)).bytesWritten;
      }
      const { uid, gid } = options;
      if (uid !== undefined && gid !== undefined) {
        const owned = await callInPool(
          'files',
          libc.fchownat,
          directory,
          temporary,
          uid,
          gid,
          AT_SYMLINK_NOFOLLOW,
        );
        must(owned, 'set the owner of', path);
      }
      const moded = await callInPool(
        'files',
        libc.fchmodat,
        directory,
        temporary,
        options.mode,
        AT_SYMLINK_NOFOLLOW,
      );
      must(moded, 'set the mode of', path);
      if (isSynced) await fsyncLater(fd);
    });
    must(await callInPool('files', libc.renameat2, directory, temporary, directory, name, 0), 'write', path);
  } catch (error) {
    await callInPool('files', libc.unlinkat, directory, temporary, 0);
    throw error;
  }
}

/**
 * Writes a file so that after a crash it has either the old or the new content, complete: temporary file,
 * fsync, rename, fsync of the directory (without the last the rename may be lost).
 */
export async function writeAtomic(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  const { dir, base } = posix.parse(path);
  const directory = dir === '' ? '.' : dir;
  const opened = await callInPool(
    'files',
    libc.openat,
    AT_FDCWD,
    directory,
    O_RDONLY | O_DIRECTORY | O_CLOEXEC,
    0,
  );
  await withFd(must(opened, `write ${path} in`, directory), async (fd) => {
    await replaceAt(fd, base, bytes, { mode }, path, true);
    await fsyncLater(fd);
  });
}

/**
 * The path on the host of `path` inside `root`, all links resolved inside the root; undefined when it does
 * not exist. It may be outdated at once: to act on the file, keep a descriptor from openInRoot instead.
 */
export async function resolveInRoot(root: Root, path: string): Promise<string | undefined> {
  try {
    const fd = await openInRoot(root, path, O_PATH);
    return await withFd(fd, () => readlink(`/proc/self/fd/${fd}`));
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}
