/** The locks with which a command keeps daemons away from what it compares or removes. */
import { missingAs } from '../../host/ffi/errno.ts';
import { leadToOne, lockDirectory } from '../../host/files/directory-lock.ts';
import type { DirectoryLock } from '../../host/files/directory-lock.ts';
import type { Config } from '../config/config-schema.ts';

/**
 * Locks root and state, as a daemon does that starts (F83), or those of the two that exist. Throws `conflict` if a
 * daemon holds one, be it a daemon with another root.
 */
export async function lockIfThere({ root, state }: Pick<Config, 'root' | 'state'>): Promise<DirectoryLock> {
  const held: DirectoryLock[] = [];
  const release = async (): Promise<void> => {
    for (const lock of held.splice(0)) await lock.release();
  };
  try {
    for (const path of (await missingAs(leadToOne(root, state), false)) ? [root] : [root, state]) {
      const lock = await missingAs(lockDirectory(path), undefined);
      if (lock !== undefined) held.push(lock);
    }
  } catch (thrown) {
    await release();
    throw thrown;
  }
  return { release };
}
