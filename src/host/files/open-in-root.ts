/**
 * Opens paths inside a root whose content is untrusted: the kernel resolves each, so that neither a link nor a
 * concurrent rename leads out (S54).
 */
import { close, closeSync } from 'node:fs';
import { readlink } from 'node:fs/promises';
import { constants } from 'node:os';
import { posix } from 'node:path';
import { promisify } from 'node:util';
import { hostLimits } from '../bounds.ts';
import { errnoName, must } from '../ffi/errno.ts';
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_PATH } from '../ffi/constants.ts';
import { libc } from '../ffi/ffi.ts';
import type { SyscallResult } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';
import { dotted, howBeneath } from './files-at.ts';

const closeLater = promisify(close);

/** A directory: by a path that is trusted, or by a descriptor (O_PATH is enough). */
export type Root = string | number;

/** Runs `work` with a descriptor of the root. */
export async function withRoot<T>(root: Root, work: (fd: number) => Promise<T>): Promise<T> {
  if (typeof root === 'number') return work(root);
  const opened = await callInPool(root, libc.openat, AT_FDCWD, root, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  return withPathFd(must(opened, 'open directory', root), work);
}

/** Runs `work` with an open file, and closes it. */
export async function withFd<T>(fd: number, work: (fd: number) => Promise<T>): Promise<T> {
  try {
    return await work(fd);
  } finally {
    await closeLater(fd);
  }
}

/** The same for O_PATH descriptors: no file was opened, so closing never blocks and needs no call in the pool. */
export async function withPathFd<T>(fd: number, work: (fd: number) => Promise<T>): Promise<T> {
  try {
    return await work(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Opens a path that the kernel resolves inside `root` (openat2(2), RESOLVE_IN_ROOT). A link that fs.protected_symlinks
 * forbids is followed in a directory's path only.
 */
export async function openBelow(
  root: number,
  path: string,
  flags: number,
  mode: number,
): Promise<SyscallResult> {
  const how = howBeneath(flags, mode, 'inRoot');
  // `x/` is a directory, too
  const asked = (flags & O_DIRECTORY) !== 0 || path.endsWith('/') ? dotted(path) : path;
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await callInPool('files', libc.openat2, root, asked, how, how.length);
    // the kernel could not verify a `..`, since something was renamed or mounted meanwhile anywhere on the
    // machine; EAGAIN means to try again (openat2(2))
    const mayRetry =
      outcome.result === -1 && errnoName(outcome.errno) === 'EAGAIN' && attempt < hostLimits.openAttempts;
    if (!mayRetry) return outcome;
  }
}

/**
 * `openBelow` for the root of an image or container, whose links count whoever owns them (see `dotted`). Only where the
 * kernel has refused a link in the last component, that link is read, and the kernel is asked for its target instead:
 * each path is resolved by the kernel and inside the root.
 */
export async function openOfImage(
  root: number,
  path: string,
  flags: number,
  mode: number,
): Promise<SyscallResult> {
  let at = path;
  for (let links = 0; ; links += 1) {
    const outcome = await openBelow(root, at, flags, mode);
    if (outcome.result !== -1 || errnoName(outcome.errno) !== 'EACCES') return outcome;
    const next = await targetOf(root, at);
    if (next === undefined) return outcome;
    if (links === hostLimits.symlinks) return { result: -1, errno: constants.errno.ELOOP };
    at = next;
  }
}

/** The path inside the root that the link in the last component means; undefined when it is no link. */
async function targetOf(root: number, path: string): Promise<string | undefined> {
  const { dir, base } = posix.parse(path);
  const above = await openBelow(root, dir, O_PATH | O_DIRECTORY, 0);
  if (above.result === -1) return undefined;
  return withPathFd(above.result, async (fd) => {
    const target = await readlink(`/proc/self/fd/${fd}/${base}`).catch(() => undefined);
    return target === undefined || target.startsWith('/') ? target : `${dir}/${target}`;
  });
}
