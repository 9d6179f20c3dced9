/** Directories of ours that are made although something else has their name. */
import { lstat, mkdir, rename } from 'node:fs/promises';
import type { Degradation } from '../../base/conditions.ts';
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { codeOf, isAbsent } from '../ffi/errno.ts';

/** Appended to the name of what is moved aside; `.1` and so on follow where that name is taken. */
const ASIDE = '.not-a-directory';

/**
 * Makes the directory and those above it that are missing. What has its name and is not a directory is moved aside;
 * gives what to report of that, undefined when there was nothing to move. Nothing is deleted: what was moved earlier may
 * be evidence, or have mounts below. For the holder of the lock on the directory above: nobody else takes names there.
 * Throws `exhausted` when all names are taken, and Node's errors.
 */
export async function makeInPlace(path: string, mode: number): Promise<Degradation | undefined> {
  const make = async (): Promise<void> => void (await mkdir(path, { recursive: true, mode }));
  try {
    await make();
    return undefined;
  } catch (error) {
    // ENOENT: a link to nowhere
    if (codeOf(error) !== 'EEXIST' && codeOf(error) !== 'ENOENT') throw error;
  }
  const aside = await freeName(`${path}${ASIDE}`);
  await rename(path, aside);
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
  return fail('exhausted', `move aside to ${first}: ${hostLimits.movedAside} earlier ones are there`, {
    subject: first,
    retryable: false,
  });
}
