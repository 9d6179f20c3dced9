/**
 * Checkpoints: all containers of a request are stopped where they are, read, and let go; then their archives are packed.
 * The layout is that of CRI-O and checkpointctl. Whatever ends it, the containers go on and no part is left.
 */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { CheckpointedContainer, CheckpointInput, CheckpointPort } from '../../../ports/checkpoint.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import { Semaphore } from '../../../base/bounded.ts';
import { toFault } from '../../../base/fault.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { checkpointLimits } from '../bounds.ts';
import { Ability } from './ability.ts';
import type { Criu } from './ability.ts';
import {
  closeArchive,
  demandEmpty,
  dropArchive,
  nameArchive,
  openArchive,
  settleArchive,
  undoArchives,
} from './archive.ts';
import type { OpenArchive, Place } from './archive.ts';
import { FILES } from '../../documents/checkpoint-documents.ts';
import { freeze, read, thaw, toolCall } from './frozen.ts';
import type { Job, Reader } from './frozen.ts';
import { copyFile, packAll } from './tar.ts';
import type { ToolCall } from './tar.ts';
import { createRestores, undoRestores } from './restore.ts';
import { begun, dropWork, keepNote, makeWork } from './work.ts';
import type { Note } from './work.ts';

export interface CheckpointOptions extends Omit<Reader, 'clock' | 'layout' | 'toolPath'> {
  readonly criu: Criu;
  /** Whether containers may be restored: CRIU makes processes with whatever rights an archive says. */
  readonly restores: boolean;
}

export interface CheckpointDriver extends CheckpointPort {
  /** Undoes what a daemon before this one began: call it once, before the first checkpoint. Never rejects. */
  open(): Promise<void>;
}

interface Stage {
  readonly reader: Reader;
  readonly ability: Ability;
  /** Of the checkpoints under way. */
  readonly directory: string;
}

interface Request {
  readonly attempted: string;
  /** All its archives. */
  readonly together: readonly string[];
}

/** An archive that is being made. */
interface Draft extends OpenArchive {
  readonly job: Job;
  readonly place: Place;
  hasName: boolean;
}

export function createCheckpointDriver({ criu, restores, ...options }: CheckpointOptions): CheckpointDriver {
  const { layout, clock, toolPath } = options.parts;
  const ability = new Ability(criu, toolPath, clock);
  const stage: Stage = {
    reader: { ...options, layout, clock, toolPath: ability.path },
    ability,
    directory: layout.checkpointsDir,
  };
  const gate = new Semaphore('checkpoints', checkpointLimits.atOnce, checkpointLimits.waiting);
  return {
    open: async () => {
      await undoBegun(stage);
      await undoRestores(options.parts);
    },
    ...createRestores({ ...options, ability, allowed: restores }),
    checkpoint: async (input, fx) => {
      const endMonoMs = clock.monoMs() + fx.timeoutMs;
      fx.note({ on: 'another checkpoint' });
      // the bound is that of the whole, and each step gets what is left of it
      const left: EffectContext = {
        signal: fx.signal,
        note: (waiting) => fx.note(waiting),
        get timeoutMs() {
          return Math.max(1, Math.ceil(endMonoMs - clock.monoMs()));
        },
      };
      await gate.with(() => checkpoint(stage, input, left), fx.signal);
    },
  };
}

async function checkpoint(
  stage: Stage,
  { attempted, containers, emptyDirectory }: CheckpointInput,
  fx: EffectContext,
): Promise<void> {
  const { reader, ability, directory } = stage;
  const { table } = reader.parts;
  for (const handler of new Set(containers.map(({ handler: name }) => name)))
    await ability.demand(table.resolve(handler), attempted);
  if (emptyDirectory !== undefined) await demandEmpty(emptyDirectory, { attempted, clock: reader.clock, fx });
  const together = containers.map(({ archive }) => archive);
  const drafts: Draft[] = [];
  let kept: readonly ContainerId[] = [];
  try {
    for (const container of containers)
      drafts.push(await begin(stage, container, { attempted, together }, fx));
    await readAll(
      reader,
      drafts.map(({ job }) => job),
      fx,
    );
    for (const draft of drafts) await pack(reader, draft, fx);
    for (const draft of drafts) {
      await nameArchive(draft.place, draft.file);
      draft.hasName = true;
    }
    for (const { place } of drafts) await settleArchive(place);
  } catch (error) {
    kept = await dropAll(reader, drafts, fx);
    throw error;
  } finally {
    await closeAll(reader, drafts, fx);
    for (const { id } of containers)
      await (kept.includes(id) ? keepNote(directory, id) : dropWork(directory, id));
  }
}

/** Each on its own, the one that is on a dead file system beside the others. Gives those whose archive may still be there. */
async function dropAll(
  { parts: { log } }: Reader,
  drafts: readonly Draft[],
  fx: EffectContext,
): Promise<readonly ContainerId[]> {
  const kept: ContainerId[] = [];
  await Promise.all(
    drafts.map(({ job, place, hasName }) =>
      dropArchive({ ...place, fx: unbounded(fx) }, hasName).catch((error: unknown) => {
        kept.push(job.container.id);
        log.warn({ archive: place.archive, fault: toFault(error) }, 'remove the archive of a checkpoint');
      }),
    ),
  );
  return kept;
}

async function closeAll(
  { parts: { log } }: Reader,
  drafts: readonly Draft[],
  fx: EffectContext,
): Promise<void> {
  await Promise.all(
    drafts.map(({ place, ...archive }) =>
      closeArchive({ ...place, fx: unbounded(fx) }, archive).catch((error: unknown) =>
        log.warn({ archive: place.archive, fault: toFault(error) }, 'close the archive of a checkpoint'),
      ),
    ),
  );
}

async function begin(
  { reader, directory }: Stage,
  container: CheckpointedContainer,
  { attempted, together }: Request,
  fx: EffectContext,
): Promise<Draft> {
  const { archive, id } = container;
  const handler = reader.parts.table.resolve(container.handler);
  const place: Place = { archive, attempted, clock: reader.clock, fx };
  const work = await makeWork(directory, { version: 1, id, handler: handler.name, archive, together });
  const archiveFile = await openArchive(place);
  return { job: { container, handler, attempted, work }, place, ...archiveFile, hasName: false };
}

/** All are still before the first is read, and none goes on before the last was. */
async function readAll(reader: Reader, jobs: readonly Job[], fx: EffectContext): Promise<void> {
  const touched: Job[] = [];
  const { frozenByCheckpoint } = reader.parts;
  try {
    for (const job of jobs) {
      touched.push(job);
      frozenByCheckpoint.add(job.container.id);
      await freeze(reader, job, fx);
    }
    for (const job of jobs) await read(reader, job, fx);
  } finally {
    for (const { container } of touched) frozenByCheckpoint.delete(container.id);
    const thawed = await Promise.allSettled(
      touched.map(({ container, handler, attempted }) =>
        thaw(reader, { id: container.id, handler, attempted }, fx.note),
      ),
    );
    for (const one of thawed)
      if (one.status === 'rejected')
        reader.parts.log.error(
          { fault: toFault(one.reason) },
          'a container was not let go after its checkpoint',
        );
  }
}

/** The log goes with it as far as it was by then. */
async function pack(reader: Reader, { job, file }: Draft, fx: EffectContext): Promise<void> {
  const { container, attempted, work } = job;
  const call = toolCall(reader, attempted, fx);
  if (container.logPath !== '') await copyLog(reader, call, container.logPath, join(work, FILES.log));
  const names: string[] = [];
  for (const name of Object.values(FILES)) if (await isThere(join(work, name))) names.push(name);
  await packAll(call, work, names, file);
}

/** The kubelet may be moving it away at this moment: an archive without a log is one, too. */
async function copyLog({ parts: { log } }: Reader, call: ToolCall, from: string, to: string): Promise<void> {
  try {
    await copyFile(call, from, to);
  } catch (error) {
    const why = toFault(error);
    if (why.kind !== 'outside') throw error;
    log.warn({ fault: why }, 'a checkpoint goes without its log');
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** For what must be undone when the call itself is not wanted any more. */
function unbounded({ note }: Pick<EffectContext, 'note'>): EffectContext {
  return { signal: new AbortController().signal, timeoutMs: checkpointLimits.resumeMs, note };
}

/** One that can't be undone now keeps its note, and keeps no other from going on. */
async function undoBegun({ reader, directory }: Stage): Promise<void> {
  const { log, table } = reader.parts;
  try {
    const notes = await begun(directory, (name, error) =>
      log.error({ name, fault: toFault(error) }, 'read note of a checkpoint'),
    );
    const failed = ({ id, archive }: Note, error: unknown): void =>
      log.error({ id, archive, fault: toFault(error) }, 'a checkpoint that was cut off could not be undone');
    const thawed: Note[] = [];
    for (const note of notes)
      await undoOne(reader, table, note.id, note.handler).then(
        () => thawed.push(note),
        (error: unknown) => failed(note, error),
      );
    const archives = new Set(notes.map(({ archive }) => archive));
    const requests = Map.groupBy(thawed, ({ together }) => JSON.stringify(together));
    // no container stays frozen, and no archive stays, for one on a file system that does not answer
    await Promise.all(
      [...requests.values()].map(async (ofOne) => {
        const undone = undoRequest(reader, ofOne, archives);
        for (const note of ofOne)
          await undone
            .then(() => dropWork(directory, note.id))
            .catch((error: unknown) => failed(note, error));
      }),
    );
  } catch (error) {
    log.error({ fault: toFault(error) }, 'checkpoints that were cut off could not be looked for');
  }
}

/** Of one request there is a note for each container, and all of them name the same archives. */
async function undoRequest(
  reader: Reader,
  notes: readonly Note[],
  archives: ReadonlySet<string>,
): Promise<void> {
  const [first] = notes;
  if (first === undefined) return;
  const { id, together } = first;
  const begunOnes = together.filter((one) => archives.has(one));
  await undoArchives(begunOnes, together, {
    attempted: `undo the checkpoint of container ${id}`,
    clock: reader.clock,
    fx: unbounded({ note: () => undefined }),
  });
}

/** A handler that is not known any more has no container that could be let go. */
async function undoOne(
  reader: Reader,
  table: Reader['parts']['table'],
  id: ContainerId,
  name: string,
): Promise<void> {
  const handler = table.known().find((one) => one.name === name);
  if (handler === undefined) return;
  // its runtime, a helper, has ended (src/host/process/helpers.ts): nothing stops the container again
  await thaw(reader, { id, handler, attempted: `undo the checkpoint of container ${id}` }, () => undefined);
}
