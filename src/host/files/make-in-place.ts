/** Creates directories of ours even when another file has their name. */
import { lstat, mkdir, rename } from 'node:fs/promises';
import type { Degradation } from '../../base/conditions.ts';
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { codeOf, isAbsent } from '../ffi/errno.ts';

/** Suffix of a file that is moved aside; `.1` and so on follow when that name exists. */
const ASIDE = '.not-a-directory';

/**
 * Creates the directory and its missing parents. A file with its name that is not a directory is moved aside;
 * returns what to report of that, undefined when nothing was moved. Nothing is deleted: a file moved earlier
 * may be evidence, or have mounts below it. Only for the holder of the lock on the parent directory: nobody
 * else creates names there. Throws `exhausted` when all names exist, `wrongState` when a file is mounted
 * there, and Node's errors.
 */
export async function makeInPlace(path: string, mode: number): Promise<Degradation | undefined> {
  const make = async (): Promise<void> => void (await mkdir(path, { recursive: true, mode }));
  try {
    await make();
    return undefined;
  } catch (error) {
    // ENOENT: a dangling link
    if (codeOf(error) !== 'EEXIST' && codeOf(error) !== 'ENOENT') throw error;
  }
  const aside = await freeName(`${path}${ASIDE}`);
  await rename(path, aside).catch((error: unknown) => {
    if (codeOf(error) !== 'EBUSY') throw error;
    // a file that is bind-mounted there: the mount is the administrator's
    fail(
      'wrongState',
      `move aside ${path}: a file is mounted on it; unmount it (findmnt ${path} has its source)`,
      {
        subject: path,
        retryable: false,
      },
    );
  });
  await make();
  return {
    type: 'DebrisRemoved',
    subject: aside,
    reason: 'not a directory: moved aside; check what it is and delete it',
  };
}

/** A rename onto a file would replace it, and one onto a directory fails. */
async function freeName(first: string): Promise<string> {
  for (let number = 0; number < hostLimits.movedAside; number += 1) {
    const name = number === 0 ? first : `${first}.${number}`;
    try {
      await lstat(name);
    } catch (error) {
      if (isAbsent(error)) return name;
      throw error;
    }
  }
  return fail('exhausted', `move aside to ${first}: ${hostLimits.movedAside} such names exist already`, {
    subject: first,
    retryable: false,
  });
}
