/**
 * Directories at paths that users name. Node's own recursive mkdir takes ENOENT for "a parent is missing", makes the
 * parent and tries again, for ever where the kernel answers so although the parent is there: below /proc one wrong
 * path of a request turned the daemon's thread pool in a circle until its end (Node 24, MKDirp).
 */
import { mkdir, stat } from 'node:fs/promises';
import { posix } from 'node:path';
import { codeOf } from '../ffi/errno.ts';

/**
 * Makes the directory and those above it that are missing, with this mode less the umask; what is there stays as it
 * is. `path` is absolute and without `..`. Each is tried twice at most. Throws Node's error with its code: ENOENT
 * where none can be made, EEXIST or ENOTDIR where something else is in the way.
 */
export async function makeDirectories(path: string, mode: number): Promise<void> {
  const missing: string[] = [];
  let at = posix.resolve(path);
  while (!(await makeOne(at, mode))) {
    missing.push(at);
    at = posix.dirname(at);
  }
  for (const one of missing.toReversed())
    await mkdir(one, { mode }).catch((error: unknown) => refuseUnless('EEXIST', error));
  // a first try that succeeded has said what it is
  if (missing.length === 0) return;
  // of the last one nobody has said yet that it is a directory, and not made by another meanwhile
  if (!(await stat(path)).isDirectory())
    throw Object.assign(new Error(`EEXIST: something else is there, mkdir '${path}'`), { code: 'EEXIST' });
}

/** False when its parent is missing. */
async function makeOne(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' && path !== '/') return false;
    // a directory is what was wanted, also where none can be made (EROFS, EACCES, EPERM)
    if (await isDirectory(path)) return true;
    throw error;
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // the error of mkdir says more
    return false;
  }
}

function refuseUnless(code: string, error: unknown): void {
  if (codeOf(error) !== code) throw error;
}
