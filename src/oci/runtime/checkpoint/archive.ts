/**
 * The archive's file: made anew for its owner alone, since it holds every page of the container's memory; under a name
 * of its own until it is whole, so that nobody takes a part for all. Nothing that lies at its path is followed or replaced.
 */
import { constants } from 'node:fs';
import type { Stats } from 'node:fs';
import { link, lstat, open, readdir, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ClockPort } from '../../../ports/clock.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import { fail } from '../../../base/fault.ts';
import { onUserPath } from '../../../host/mounts/answering.ts';
import { closeInPool } from '../../../host/io/close-in-pool.ts';
import { codeOf, isAbsent, onlyAbsent } from '../../../host/ffi/errno.ts';
import { isThere } from '../../../host/files/is-there.ts';
import { readMountInfo } from '../../../host/mounts/mountinfo.ts';
import { within } from '../../../host/clock/wait.ts';

const SUFFIX = '.partial';

/** Its name while it is written. */
export const partialOf = (archive: string): string => `${archive}${SUFFIX}`;

export interface Place {
  readonly archive: string;
  readonly attempted: string;
  readonly clock: ClockPort;
  readonly fx: EffectContext;
}

/** An archive that is open. */
export interface OpenArchive {
  readonly file: FileHandle;
  /** In whose share of libuv's pool it is closed, also once something else is mounted there. */
  readonly mountPoint: string;
}

/**
 * The empty file, under its partial name. Throws `conflict` when something has either name, `invalidRequest` when there is
 * no such directory. One that is open only after the bound is closed again.
 */
export async function openArchive(place: Place): Promise<OpenArchive> {
  let opened: OpenArchive | undefined;
  let isLate = false;
  try {
    return await onPlace(place, 'make the archive', async (mountPoint) => {
      const file = await createPart(place);
      opened = { file, mountPoint };
      if (isLate) await file.close();
      return opened;
    });
  } catch (error) {
    isLate = true;
    if (opened !== undefined) closeInPool(opened.mountPoint, opened.file).catch(() => undefined);
    throw error;
  }
}

async function createPart({ archive, attempted }: Place): Promise<FileHandle> {
  try {
    if (await isThere(archive)) return taken(attempted, archive);
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    return await open(partialOf(archive), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  } catch (error) {
    const code = codeOf(error) ?? '';
    if (code === 'EEXIST') return taken(attempted, partialOf(archive));
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'EISDIR'].includes(code)) {
      return fail(
        'invalidRequest',
        `${attempted}: write ${archive}: ${code === 'ENAMETOOLONG' ? 'its name is too long' : `there is no directory ${dirname(archive)}`}`,
        { subject: archive },
      );
    }
    throw error;
  }
}

/** Whole, and there under its name, beside the name of its part. Throws `conflict` when something has it by now. */
export function nameArchive(place: Place, file: FileHandle): Promise<void> {
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
  });
}

/**
 * Its part's name goes, and its own survives a power loss. All archives of a request have their names before the first of
 * these: by that a later daemon tells a request that came to its end from one that did not.
 */
export function settleArchive(place: Place): Promise<void> {
  const { archive } = place;
  return onPlace(place, 'sync the directory of', async () => {
    await unlink(partialOf(archive));
    await syncDirectory(dirname(archive));
  });
}

/** Throws `invalidRequest` when there is no such directory or something is in it. */
export function demandEmpty(
  directory: string,
  { attempted, ...place }: Omit<Place, 'archive'>,
): Promise<void> {
  return onPlace({ ...place, attempted, archive: `${directory}/*` }, 'write', async () => {
    let names: readonly string[];
    try {
      names = await readdir(directory);
    } catch (error) {
      return fail(
        'invalidRequest',
        `${attempted}: write to ${directory}: it can't be read: ${codeOf(error) ?? 'unknown error'}`,
        { subject: directory },
      );
    }
    if (names.length > 0)
      fail('invalidRequest', `${attempted}: write to ${directory}: it is not empty`, { subject: directory });
  });
}

/**
 * Closes its file, which waits for the file system as a sync does (close(2), NFS). The bound ends the wait and not the
 * close: `timedOut` says that it goes on.
 */
export async function closeArchive(
  { archive, attempted, clock, fx }: Place,
  { file, mountPoint }: Pick<OpenArchive, 'mountPoint'> & { readonly file: Pick<FileHandle, 'close'> },
): Promise<void> {
  const closing = closeInPool(mountPoint, file);
  const { timeoutMs } = fx;
  fx.note({ on: `${attempted}: close the archive ${archive}` });
  if ((await within({ clock, timeoutMs }, closing)) === 'timedOut')
    fail(
      'timedOut',
      `${attempted}: close the archive ${archive}: the file system at ${mountPoint} has not answered within ${timeoutMs} ms`,
      { subject: mountPoint },
    );
}

/** What there is of it goes, for good: the note of it, by which a later daemon would find it, goes next. */
export function dropArchive(place: Place, hasName: boolean): Promise<void> {
  const { archive } = place;
  return onPlace(place, 'remove the archive', async () => {
    if (hasName) await removePlain(archive);
    await removePlain(partialOf(archive));
    await syncDirectory(dirname(archive));
  });
}

/**
 * What a daemon that was killed has left of a request: `begun` are those of its archives that it had taken a note of. Their
 * parts go, and before them the archives, unless all of the request have their names. Idempotent: also of an undo that was cut off.
 */
export async function undoArchives(
  begun: readonly string[],
  together: readonly string[],
  place: Omit<Place, 'archive'>,
): Promise<void> {
  const on = <T>(archive: string, work: () => Promise<T>): Promise<T> =>
    onPlace({ ...place, archive }, 'undo the archive', work);
  const named: string[] = [];
  let isWhole = true;
  for (const archive of together) {
    const state = await on(archive, () => stateOf(archive));
    if (state === 'named') named.push(archive);
    else if (state !== 'settled') isWhole = false;
  }
  for (const archive of named)
    if (!isWhole && begun.includes(archive)) await on(archive, () => removePlain(archive));
  for (const archive of begun) await on(archive, () => removePart(archive));
}

async function removePart(archive: string): Promise<void> {
  if ((await plainAt(partialOf(archive))) === undefined) return;
  await removePlain(partialOf(archive));
  await syncDirectory(dirname(archive));
}

/** `part`: nothing, or somebody else's file, has its name. `named`: it has, beside its part's. `settled`: alone. */
async function stateOf(archive: string): Promise<'none' | 'part' | 'named' | 'settled'> {
  const [found, part] = [await plainAt(archive), await plainAt(partialOf(archive))];
  if (part === undefined) return found === undefined ? 'none' : 'settled';
  return found?.ino === part.ino && found.dev === part.dev ? 'named' : 'part';
}

async function plainAt(path: string): Promise<Stats | undefined> {
  try {
    const stats = await lstat(path);
    return stats.isFile() ? stats : undefined;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** A name is lost with the power until its directory was synced. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Removes a regular file that has this very name; anything else is not ours. One that somebody else removes is gone, too. */
async function removePlain(path: string): Promise<void> {
  if ((await plainAt(path)) !== undefined) await unlink(path).catch(onlyAbsent);
}

async function onPlace<T>(
  { archive, attempted, clock, fx }: Place,
  what: string,
  work: (mountPoint: string) => Promise<T>,
): Promise<T> {
  return onUserPath(
    {
      path: dirname(archive),
      attempted: `${attempted}: ${what} ${archive}`,
      mounts: await readMountInfo(),
      clock,
      fx,
    },
    work,
  );
}

function taken(attempted: string, path: string): never {
  return fail(
    'conflict',
    `${attempted}: write ${path}: there is something of that name, which is not replaced`,
    { subject: path },
  );
}
