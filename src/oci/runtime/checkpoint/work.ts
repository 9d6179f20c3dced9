/**
 * The directory of a checkpoint in progress. It is below the root directory on disk, since memory may be larger than
 * a tmpfs. By its record a restarted daemon undoes an interrupted checkpoint, so that no container stays frozen and
 * no partial archive is left.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { checkpointLimits } from '../bounds.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { parseContainerId } from '../../../base/ids.ts';
import { isAbsent } from '../../../host/ffi/errno.ts';
import { writeAtomic } from '../../../host/files/files.ts';
import { namesOf } from '../../../host/files/names-of.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { storedVersions } from '../../../base/stored-versions.ts';

export interface Note {
  readonly version: typeof storedVersions.checkpointNote;
  readonly id: ContainerId;
  readonly handler: string;
  readonly archive: string;
  /** All archives of the request. */
  readonly together: readonly string[];
}

const NOTE = 'note.json';

/**
 * Makes the directory, for its owner only, with the record in it; an existing one is removed, whose record must not be
 * needed any more (`earlierNoteOf`). The record is synced, since the partial archive may survive a power loss, too.
 */
export async function makeWork(directory: string, note: Note): Promise<string> {
  const work = join(directory, note.id);
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true, mode: 0o700 });
  await writeAtomic(join(work, NOTE), Buffer.from(JSON.stringify(note)), 0o600);
  return work;
}

/**
 * The record of an earlier checkpoint of the container; undefined without one. Throws when it can't be read, since it
 * may be needed.
 */
export async function earlierNoteOf(directory: string, id: ContainerId): Promise<Note | undefined> {
  const note = await readNote(join(directory, id, NOTE));
  return note?.id === id ? note : undefined;
}

export function dropWork(directory: string, id: ContainerId): Promise<void> {
  return rm(join(directory, id), { recursive: true, force: true });
}

/** Removes everything but the record, by which a restarted daemon completes the undo. */
export async function keepNote(directory: string, id: ContainerId): Promise<void> {
  const work = join(directory, id);
  for (const name of await namesOf(work))
    if (name !== NOTE) await rm(join(work, name), { recursive: true, force: true });
}

/**
 * The checkpoints that earlier daemons began. A directory without a complete record was not begun and is removed. One
 * that cannot be read or removed is reported to `onUnreadable` and does not keep the others from being undone, whose
 * containers are frozen.
 */
export async function begun(
  directory: string,
  onUnreadable: (name: string, error: unknown) => void,
): Promise<readonly Note[]> {
  const notes: Note[] = [];
  for (const name of await namesOf(directory)) {
    try {
      const note = await readNote(join(directory, name, NOTE));
      if (note?.id === name) notes.push(note);
      else await rm(join(directory, name), { recursive: true, force: true });
    } catch (error) {
      onUnreadable(name, error);
    }
  }
  return notes;
}

async function readNote(path: string): Promise<Note | undefined> {
  try {
    const text = await readSmallFile(path, {
      usualBytes: checkpointLimits.noteUsualBytes,
      bytesMax: checkpointLimits.noteBytes,
    });
    if (text === undefined) return undefined;
    const { version, id, handler, archive, together } = JSON.parse(text) as Partial<
      Record<keyof Note, unknown>
    >;
    const known = typeof id === 'string' ? parseContainerId(id) : undefined;
    if (
      version !== storedVersions.checkpointNote ||
      known === undefined ||
      typeof handler !== 'string' ||
      typeof archive !== 'string'
    )
      return undefined;
    const archives = Array.isArray(together)
      ? together.filter((one): one is string => typeof one === 'string')
      : [archive];
    return { version, id: known, handler, archive, together: archives };
  } catch (error) {
    if (isAbsent(error) || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
