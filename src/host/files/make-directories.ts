/**
 * Creates directories at paths that users name. Node's own recursive mkdir takes ENOENT for a missing parent,
 * creates the parent and tries again. Where the kernel answers ENOENT although the parent exists, it does so
 * for ever: one wrong path below /proc in a request occupied a pool thread until the daemon ended (Node 24,
 * MKDirp).
 */
import { mkdir, stat } from 'node:fs/promises';
import { posix } from 'node:path';
import { codeOf } from '../ffi/errno.ts';

/**
 * Creates the directory and its missing parents, with this mode minus the umask; existing ones stay as they
 * are. `path` is absolute and without `..`. Each is tried twice at most. Throws Node's error with its code:
 * ENOENT where none can be created, EEXIST or ENOTDIR where something else has the name.
 */
export async function makeDirectories(path: string, mode: number): Promise<void> {
  // most are there: one call in the pool
  if (await isDirectory(path)) return;
  const missing: string[] = [];
  let at = posix.resolve(path);
  while (!(await makeOne(at, mode))) {
    missing.push(at);
    at = posix.dirname(at);
  }
  for (const one of missing.toReversed())
    await mkdir(one, { mode }).catch((error: unknown) => refuseUnless('EEXIST', error));
  // the first try has already checked that it is a directory
  if (missing.length === 0) return;
  // the last one may have been created by another process, as something other than a directory
  if (!(await stat(path)).isDirectory())
    throw Object.assign(new Error(`EEXIST: not a directory, mkdir '${path}'`), { code: 'EEXIST' });
}

/** False when the parent is missing. */
async function makeOne(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' && path !== '/') return false;
    // an existing directory is success, also where none can be created (EROFS, EACCES, EPERM)
    if (await isDirectory(path)) return true;
    throw error;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // mkdir's own error is more specific
    return false;
  }
}

function refuseUnless(code: string, error: unknown): void {
  if (codeOf(error) !== code) throw error;
}
