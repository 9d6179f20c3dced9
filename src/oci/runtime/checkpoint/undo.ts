/**
 * Undoes checkpoints that were interrupted: by the end of a daemon, found at the next start, or by a file system that
 * did not answer, found by the next checkpoint of the container.
 */
import type { EffectContext } from '../../../ports/effect.ts';
import { FaultError, restated, toFault } from '../../../base/fault.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { checkpointLimits } from '../bounds.ts';
import { undoArchives } from './archive.ts';
import { thaw } from './frozen.ts';
import type { Reader } from './frozen.ts';
import { begun, dropWork, earlierNoteOf } from './work.ts';
import type { Note } from './work.ts';

export interface UndoPlace {
  readonly reader: Reader;
  /** Directory of the checkpoints in progress. */
  readonly directory: string;
}

/** For an undo after the call itself was cancelled. */
export function unbounded({ note }: Pick<EffectContext, 'note'>): EffectContext {
  return { signal: new AbortController().signal, timeoutMs: checkpointLimits.resumeMs, note };
}

/**
 * Undoes what an earlier daemon began. What cannot be undone now keeps its record and does not hold up the others.
 */
export async function undoBegun({ reader, directory }: UndoPlace): Promise<void> {
  const { log, table } = reader.parts;
  try {
    const notes = await begun(directory, (name, error) =>
      log.error({ name, fault: toFault(error) }, 'read record of checkpoint failed'),
    );
    const failed = ({ id, archive }: Note, error: unknown): void =>
      log.error({ id, archive, fault: toFault(error) }, 'undo interrupted checkpoint failed');
    const thawed: Note[] = [];
    for (const note of notes)
      await undoOne(reader, table, note.id, note.handler).then(
        () => thawed.push(note),
        (error: unknown) => failed(note, error),
      );
    const archives = new Set(notes.map(({ archive }) => archive));
    const requests = Map.groupBy(thawed, ({ together }) => JSON.stringify(together));
    // concurrently: an archive on a file system that does not answer must not keep others from being undone
    await Promise.all(
      [...requests.values()].map(async (ofOne) => {
        const undone = undoRequest(reader, ofOne, archives, unbounded({ note: () => undefined }));
        for (const note of ofOne)
          await undone
            .then(() => dropWork(directory, note.id))
            .catch((error: unknown) => failed(note, error));
      }),
    );
  } catch (error) {
    log.error({ fault: toFault(error) }, 'find interrupted checkpoints failed');
  }
}

/** Each container of the request has a record, and all records name the same archives. */
async function undoRequest(
  reader: Reader,
  notes: readonly Note[],
  archives: ReadonlySet<string>,
  fx: EffectContext,
): Promise<void> {
  const [first] = notes;
  if (first === undefined) return;
  const { id, together } = first;
  const begunOnes = together.filter((one) => archives.has(one));
  await undoArchives(begunOnes, together, {
    attempted: `undo the checkpoint of container ${id}`,
    clock: reader.clock,
    fx,
  });
}

/** Thaws the container. Without its handler there is no container. */
async function undoOne(
  reader: Reader,
  table: Reader['parts']['table'],
  id: ContainerId,
  name: string,
): Promise<void> {
  const handler = table.known().find((one) => one.name === name);
  if (handler === undefined) return;
  // its runtime process, a helper, ended with the earlier daemon (src/host/process/helpers.ts): nothing freezes the
  // container again
  await thaw(reader, { id, handler, attempted: `undo the checkpoint of container ${id}` }, () => undefined);
}

/**
 * Completes the undo of an earlier checkpoint of the container that could not be undone and has kept its record, and
 * removes the record. Throws when it still can't be undone.
 */
export async function undoEarlier(
  { reader, directory }: UndoPlace,
  id: ContainerId,
  attempted: string,
  fx: EffectContext,
): Promise<void> {
  const note = await earlierNoteOf(directory, id);
  if (note === undefined) return;
  try {
    await undoOne(reader, reader.parts.table, id, note.handler);
    const timeoutMs = Math.min(fx.timeoutMs, checkpointLimits.resumeMs);
    await undoRequest(reader, [note], new Set([note.archive]), {
      signal: fx.signal,
      note: fx.note,
      timeoutMs,
    });
    await dropWork(directory, id);
  } catch (error) {
    const why = toFault(error);
    const message = `${attempted}: an earlier checkpoint to ${note.archive} is not undone: ${why.message}`;
    throw new FaultError(restated(why.kind, message, why, { subject: note.archive }));
  }
}
