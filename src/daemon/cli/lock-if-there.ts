/** The locks with which a command keeps daemons away from what it compares or removes. */
import { missingAs } from '../../host/ffi/errno.ts';
import { lockDirectory, withStateLocked } from '../../host/files/directory-lock.ts';
import type { DirectoryLock } from '../../host/files/directory-lock.ts';
import type { Config } from '../config/config-schema.ts';

/**
 * Locks root and state, as a daemon does that starts (F83), or those of the two that exist. Throws `conflict` if a
 * daemon holds one, be it a daemon with another root.
 */
export async function lockIfThere({ root, state }: Pick<Config, 'root' | 'state'>): Promise<DirectoryLock> {
  const locked = (path: string): Promise<DirectoryLock> => missingAs(lockDirectory(path), NOTHING);
  return withStateLocked(await locked(root), { root, state }, locked);
}

const NOTHING: DirectoryLock = { release: async () => undefined };
