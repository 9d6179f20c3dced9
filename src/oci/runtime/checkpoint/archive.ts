/**
 * The archive's file. It is readable by its owner only, since it holds all memory of the container. It has a partial
 * name until it is complete, so that nobody uses an incomplete archive. An existing file at its path is neither
 * followed nor replaced.
 */
import { constants } from 'node:fs';
import type { Stats } from 'node:fs';
import { link, lstat, open, readdir, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ClockPort } from '../../../ports/clock.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import { fail, toFault } from '../../../base/fault.ts';
import { onUserPath } from '../../../host/mounts/answering.ts';
import { closeInPool } from '../../../host/io/close-in-pool.ts';
import { inPool } from '../../../host/ffi/pool.ts';
import { codeOf, isAbsent, onlyAbsent } from '../../../host/ffi/errno.ts';
import { isThere } from '../../../host/files/is-there.ts';
import { readMountPlaces } from '../../../host/mounts/mount-places.ts';
import { within } from '../../../host/clock/wait.ts';

const SUFFIX = '.partial';

/** Name of the archive while it is written. */
export const partialOf = (archive: string): string => `${archive}${SUFFIX}`;

export interface ArchiveCall {
  readonly archive: string;
  readonly attempted: string;
  readonly clock: ClockPort;
  readonly fx: EffectContext;
}

/** An open archive. */
export interface OpenArchive {
  readonly file: FileHandle;
  /** The mount point whose share of libuv's pool closes the file, even if something else was mounted there since. */
  readonly mountPoint: string;
}

/**
 * Makes the empty file under its partial name. Throws `conflict` when either name exists, `invalidRequest` when the
 * directory does not exist. A file that is made only after the timeout or the cancellation is removed again.
 * @param onOpen called before the file is made: without it no file will be made after a rejection
 */
export async function openArchive(
  call: ArchiveCall,
  onOpen: () => void = () => undefined,
): Promise<OpenArchive> {
  let opened: OpenArchive | undefined;
  let isLate = false;
  try {
    return await onArchive(call, 'make the archive', async (mountPoint) => {
      const file = await createPart(call, () => {
        if (isLate) fail('cancelled', `${call.attempted}: no longer wanted`, { subject: call.archive });
        onOpen();
      });
      opened = { file, mountPoint };
      if (isLate) await discardPart(call.archive, file);
      return opened;
    });
  } catch (error) {
    isLate = true;
    if (opened !== undefined) {
      const { file, mountPoint } = opened;
      inPool(mountPoint, () => discardPart(call.archive, file)).catch(() =>
        // the pool had no room; its note keeps the name, and this keeps Node from closing the file on the main thread
        closeInPool(mountPoint, file).catch(() => undefined),
      );
    }
    throw error;
  }
}

/** Whether `openArchive`, which has called `onOpen`, failed while its file may be made, and removed again, later. */
export function mayAppearLate(error: unknown): boolean {
  const { kind } = toFault(error);
  return kind === 'timedOut' || kind === 'cancelled';
}

/** Removes and closes a partial file that nobody waits for, unless another file has its name by now. */
async function discardPart(archive: string, file: FileHandle): Promise<void> {
  try {
    // the open file keeps its inode number from being reused
    if (isSame(await plainAt(partialOf(archive)), await file.stat())) await unlink(partialOf(archive));
  } finally {
    await file.close();
  }
}

function isSame(found: Stats | undefined, other: Stats | undefined): boolean {
  return found !== undefined && found.ino === other?.ino && found.dev === other.dev;
}

async function createPart({ archive, attempted }: ArchiveCall, beforeOpen: () => void): Promise<FileHandle> {
  try {
    if (await isThere(archive)) return taken(attempted, archive);
    beforeOpen();
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    return await open(partialOf(archive), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  } catch (error) {
    const code = codeOf(error) ?? '';
    if (code === 'EEXIST') return taken(attempted, partialOf(archive));
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'EISDIR'].includes(code)) {
      return fail(
        'invalidRequest',
        `${attempted}: write ${archive}: ${code === 'ENAMETOOLONG' ? 'file name too long' : `directory ${dirname(archive)} not found`}`,
        { subject: archive },
      );
    }
    throw error;
  }
}

/**
 * Syncs the complete archive and links it to its name; the partial name stays. Throws `conflict` when the name exists
 * by now.
 */
export function nameArchive(call: ArchiveCall, file: FileHandle): Promise<void> {
  const { archive, attempted } = call;
  return onArchive(call, 'sync the archive', async () => {
    await file.sync();
    try {
      // unlike a rename, a link does not replace an existing file
      await link(partialOf(archive), archive);
    } catch (error) {
      if (codeOf(error) === 'EEXIST') taken(attempted, archive);
      throw error;
    }
  });
}

/**
 * Removes the partial name and syncs the directory. All archives of a request are named before the first is settled:
 * by that a restarted daemon recognizes a completed request.
 */
export function settleArchive(call: ArchiveCall): Promise<void> {
  const { archive } = call;
  return onArchive(call, 'sync the directory of', async () => {
    await unlink(partialOf(archive));
    await syncDirectory(dirname(archive));
  });
}

/**
 * Whether the archive has its name, is complete, and was written at this time of the wall clock or later: by a daemon
 * that was asked for it then, and has died since. Where the clock was set back since, it counts as older.
 */
export function isWrittenSince(ns: bigint, { archive, ...call }: ArchiveCall): Promise<boolean> {
  return onArchive({ ...call, archive }, 'check for the archive', async () => {
    if ((await plainAt(partialOf(archive))) !== undefined) return false;
    const stats = await lstat(archive, { bigint: true }).catch(onlyAbsent);
    return stats?.isFile() === true && stats.mtimeNs >= ns;
  });
}

/** Throws `invalidRequest` when the directory does not exist or is not empty. */
export function demandEmpty(
  directory: string,
  { attempted, ...call }: Omit<ArchiveCall, 'archive'>,
): Promise<void> {
  return onArchive({ ...call, attempted, archive: `${directory}/*` }, 'write', async () => {
    let names: readonly string[];
    try {
      names = await readdir(directory);
    } catch (error) {
      return fail(
        'invalidRequest',
        `${attempted}: write to ${directory}: cannot be read: ${codeOf(error) ?? 'unknown error'}`,
        { subject: directory },
      );
    }
    if (names.length > 0)
      fail('invalidRequest', `${attempted}: write to ${directory}: the directory is not empty`, {
        subject: directory,
      });
  });
}

/**
 * Closes the file, which waits for the file system as a sync does (close(2), NFS). The timeout ends the wait, not the
 * close, which goes on in the background after `timedOut`.
 */
export async function closeArchive(
  { archive, attempted, clock, fx }: ArchiveCall,
  { file, mountPoint }: Pick<OpenArchive, 'mountPoint'> & { readonly file: Pick<FileHandle, 'close'> },
): Promise<void> {
  const closing = closeInPool(mountPoint, file);
  const { timeoutMs } = fx;
  fx.note({ on: `${attempted}: close the archive ${archive}` });
  if ((await within({ clock, timeoutMs }, closing)) === 'timedOut')
    fail(
      'timedOut',
      `${attempted}: close the archive ${archive}: timed out after ${timeoutMs} ms waiting for the file system at ${mountPoint}`,
      { subject: mountPoint },
    );
}

/**
 * Removes the archive under both names and syncs the directory: the record by which a restarted daemon would find it
 * is removed next.
 */
export function dropArchive(call: ArchiveCall, hasName: boolean): Promise<void> {
  const { archive } = call;
  return onArchive(call, 'remove the archive', async () => {
    const part = await plainAt(partialOf(archive));
    const dropName = async (): Promise<void> => {
      if (isSame(await plainAt(archive), part)) await removePlain(archive);
    };
    if (hasName) await removePlain(archive);
    else await dropName();
    await removePlain(partialOf(archive));
    // a link that timed out may have been made meanwhile; without the partial name it can't be made any more
    await dropName();
    await syncDirectory(dirname(archive));
  });
}

/**
 * Undoes a request of a killed daemon. `begun` are those of its archives that have records. Their partial files are
 * removed, and the named archives too, unless all archives of the request are named, which means that it completed.
 * Idempotent, also after an interrupted undo.
 */
export async function undoArchives(
  begun: readonly string[],
  together: readonly string[],
  call: Omit<ArchiveCall, 'archive'>,
): Promise<void> {
  const on = <T>(archive: string, work: () => Promise<T>): Promise<T> =>
    onArchive({ ...call, archive }, 'undo the archive', work);
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

/**
 * `part`: the name is free or another file's. `named`: the same file has both names. `settled`: only the name exists.
 */
async function stateOf(archive: string): Promise<'none' | 'part' | 'named' | 'settled'> {
  const [found, part] = [await plainAt(archive), await plainAt(partialOf(archive))];
  if (part === undefined) return found === undefined ? 'none' : 'settled';
  return isSame(found, part) ? 'named' : 'part';
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

/** A name survives a power loss only after its directory was synced. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * Removes a regular file with exactly this name; anything else is not ours. A file that was removed meanwhile is no
 * error.
 */
async function removePlain(path: string): Promise<void> {
  if ((await plainAt(path)) !== undefined) await unlink(path).catch(onlyAbsent);
}

async function onArchive<T>(
  { archive, attempted, clock, fx }: ArchiveCall,
  what: string,
  work: (mountPoint: string) => Promise<T>,
): Promise<T> {
  return onUserPath(
    {
      path: dirname(archive),
      attempted: `${attempted}: ${what} ${archive}`,
      mounts: await readMountPlaces(),
      clock,
      fx,
    },
    work,
  );
}

function taken(attempted: string, path: string): never {
  return fail('conflict', `${attempted}: write ${path}: the file exists and is not replaced`, {
    subject: path,
  });
}
