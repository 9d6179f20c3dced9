/** Opens directories that the daemon has created, by their paths. For worker threads. */
import { openSync } from 'node:fs';
import { codeOf } from '../../host/ffi/errno.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY } from '../../host/ffi/constants.ts';
import type { ByteString } from '../../base/byte-string.ts';

/** Opens a directory of the daemon's as a base for other calls. */
export function openOwnDirectory(path: string): number {
  return openSync(path, O_RDONLY | O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/**
 * The parent directory of a path and the name in it; undefined if the parent does not exist. The caller closes
 * `parent`.
 */
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
