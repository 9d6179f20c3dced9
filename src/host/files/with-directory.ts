import { closeSync } from 'node:fs';
import { must } from '../ffi/errno.ts';
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '../ffi/constants.ts';
import { libc } from '../ffi/ffi.ts';
import { callInPool } from '../ffi/pool.ts';

/**
 * Runs `work` with a descriptor of a directory of ours, refusing a link in its place; `key` names what the
 * open may hang on (see `inPool`).
 */
export async function withDirectory<T>(
  key: string,
  path: string,
  work: (fd: number) => Promise<T>,
): Promise<T> {
  const fd = must(
    await callInPool(key, libc.openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0),
    'open',
    path,
  );
  try {
    return await work(fd);
  } finally {
    closeSync(fd);
  }
}
