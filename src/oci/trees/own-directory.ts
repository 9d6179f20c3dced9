/** Directories that we made, opened by their paths; for worker threads. */
import { openSync } from 'node:fs';
import { codeOf } from '../../host/ffi/errno.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY } from '../../host/ffi/constants.ts';
import type { ByteString } from '../../base/byte-string.ts';

/** Opens a directory that we made, by its path, as a base. */
export function openOwnDirectory(path: string): number {
  return openSync(path, O_RDONLY | O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/** The directory that a path of ours is in, and its name there; undefined when that directory is not there. The caller closes it. */
export function openOwnParent(
  path: string,
): { readonly parent: number; readonly name: ByteString } | undefined {
  const slash = path.lastIndexOf('/');
  try {
    return {
      parent: openSync(path.slice(0, slash), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
      name: Buffer.from(path.slice(slash + 1)).toString('latin1'),
    };
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
