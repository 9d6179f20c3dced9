/**
 * The archive's file: made anew for its owner alone, since it holds every page of the container's memory; under a name
 * of its own until it is whole, so that nobody takes a part for all. Nothing that lies at its path is followed or replaced.
 */
import { constants } from 'node:fs';
import { link, lstat, open, readdir, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ClockPort } from '../../actors/ports/clock.ts';
import type { EffectContext } from '../../actors/ports/effect.ts';
import { fail } from '../../base/fault.ts';
import { onUserPath } from '../../host/answering.ts';
import { codeOf, isAbsent } from '../../host/errno.ts';
import { isThere } from '../../host/is-there.ts';
import { readMountInfo } from '../../host/mountinfo.ts';

const SUFFIX = '.partial';

/** Its name while it is written. */
export const partialOf = (archive: string): string => `${archive}${SUFFIX}`;

export interface Place {
  readonly archive: string;
  readonly attempted: string;
  readonly clock: ClockPort;
  readonly fx: EffectContext;
}

/**
 * The empty file, under its partial name. Throws `conflict` when something has either name, `invalidRequest` when there is
 * no such directory.
 */
export function openArchive(place: Place): Promise<FileHandle> {
  const { archive, attempted } = place;
  return onPlace(place, 'make the archive', async () => {
    try {
      if (await isThere(archive)) return taken(attempted, archive);
      const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
      return await open(partialOf(archive), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    } catch (error) {
      const code = codeOf(error) ?? '';
      if (code === 'EEXIST') return taken(attempted, partialOf(archive));
      if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'EISDIR'].includes(code)) {
        return fail('invalidRequest', `${attempted}: write ${archive}: ${code === 'ENAMETOOLONG' ? 'its name is too long' : `there is no directory ${dirname(archive)}`}`, { subject: archive });
      }
      throw error;
    }
  });
}

/** Whole, durable, and there under its name. Throws `conflict` when something has it by now. */
export function publish(place: Place, file: FileHandle): Promise<void> {
  const { archive, attempted } = place;
  return onPlace(place, 'sync the archive', async () => {
    await file.sync();
    try {
      // a link does not replace what is there, as a rename would
      await link(partialOf(archive), archive);
    } catch (error) {
      if (codeOf(error) === 'EEXIST') taken(attempted, archive);
      throw error;
    }
    await unlink(partialOf(archive));
  });
}

/** Throws `invalidRequest` when there is no such directory or something is in it. */
export function demandEmpty(directory: string, { attempted, ...place }: Omit<Place, 'archive'>): Promise<void> {
  return onPlace({ ...place, attempted, archive: `${directory}/*` }, 'write', async () => {
    let names: readonly string[];
    try {
      names = await readdir(directory);
    } catch (error) {
      return fail('invalidRequest', `${attempted}: write to ${directory}: it can't be read: ${codeOf(error) ?? 'unknown error'}`, { subject: directory });
    }
    if (names.length > 0) fail('invalidRequest', `${attempted}: write to ${directory}: it is not empty`, { subject: directory });
  });
}

/** Whichever of both is there goes. */
export function dropArchive(place: Place, isPublished: boolean): Promise<void> {
  const { archive } = place;
  return onPlace(place, 'remove the archive', () => removePlain(isPublished ? archive : partialOf(archive)));
}

/** Removes a regular file that has this very name; anything else is not ours. */
export async function removePlain(path: string): Promise<void> {
  try {
    if ((await lstat(path)).isFile()) await unlink(path);
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
}

async function onPlace<T>({ archive, attempted, clock, fx }: Place, what: string, work: () => Promise<T>): Promise<T> {
  return onUserPath({ path: dirname(archive), attempted: `${attempted}: ${what} ${archive}`, mounts: await readMountInfo(), clock, fx }, work);
}

function taken(attempted: string, path: string): never {
  return fail('conflict', `${attempted}: write ${path}: there is something of that name, which is not replaced`, { subject: path });
}
