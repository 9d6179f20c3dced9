/**
 * Checkpoints: all containers of a request are frozen, read and thawed; then their archives are packed. The layout is
 * that of CRI-O and checkpointctl. However it ends, the containers are thawed and no partial archive is left.
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
  isWrittenSince,
  nameArchive,
  mayAppearLate,
  openArchive,
  settleArchive,
} from './archive.ts';
import type { OpenArchive, ArchiveCall } from './archive.ts';
import { FILES } from '../../documents/checkpoint-documents.ts';
import { freeze, read, thaw, toolCall } from './frozen.ts';
import type { CheckpointJob, Reader } from './frozen.ts';
import { copyFile, packAll } from './tar.ts';
import type { TarCall } from './tar.ts';
import { createRestores, undoRestores } from './restore.ts';
import { unbounded, undoBegun, undoEarlier } from './undo.ts';
import type { UndoPlace } from './undo.ts';
import { withSpace } from './space.ts';
import type { ReadFacts, SpaceWatch } from './space.ts';
import { dropWork, keepNote, makeWork } from './work.ts';
import { storedVersions } from '../../../base/stored-versions.ts';

export interface CheckpointOptions extends Omit<Reader, 'clock' | 'layout' | 'toolPath'> {
  readonly criu: Criu;
  /** Whether containers may be restored: CRIU creates processes with the privileges that an archive states. */
  readonly restores: boolean;
  /** Free space of the disks; replaced in tests. */
  readonly readFacts?: ReadFacts;
}

export interface CheckpointDriver extends CheckpointPort {
  /**
   * Undoes what an earlier daemon began. Call it once, before the first checkpoint: one that comes meanwhile waits for
   * it. Never rejects.
   */
  open(): Promise<void>;
}

interface Stage extends UndoPlace {
  readonly ability: Ability;
  readonly readFacts: ReadFacts | undefined;
}

interface Request {
  readonly attempted: string;
  /** All archives of the request. */
  readonly together: readonly string[];
  /** Containers whose directory and record this request has made. */
  readonly noted: Set<ContainerId>;
  /** Those of them that keep their records: they may be frozen, or their archive may exist after a failure. */
  readonly kept: Set<ContainerId>;
}

/** An archive that is being written. */
interface Draft extends OpenArchive {
  readonly job: CheckpointJob;
  readonly call: ArchiveCall;
  hasName: boolean;
}

export function createCheckpointDriver({
  criu,
  restores,
  readFacts,
  ...options
}: CheckpointOptions): CheckpointDriver {
  const { layout, clock, toolPath } = options.parts;
  const ability = new Ability(criu, toolPath, clock);
  const stage: Stage = {
    reader: { ...options, layout, clock, toolPath: ability.path },
    ability,
    directory: layout.checkpointsDir,
    readFacts,
  };
  const gate = new Semaphore('checkpoints', checkpointLimits.atOnce, checkpointLimits.waiting);
  return {
    open: async () => {
      // an interrupted checkpoint and a new one of the same container have one directory and one frozen container
      await gate.with(() => undoBegun(stage));
      await undoRestores(options.parts);
    },
    ...createRestores({ ...options, ability, allowed: restores }),
    checkpoint: async (input, fx) => {
      const endMonoMs = clock.monoMs() + fx.timeoutMs;
      fx.note({ on: 'another checkpoint, or the undo of an interrupted one' });
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
  { attempted, containers, emptyDirectory, askedNs, onThawed }: CheckpointInput,
  fx: EffectContext,
): Promise<void> {
  const { reader, ability, directory } = stage;
  const { table } = reader.parts;
  for (const handler of new Set(containers.map(({ handler: name }) => name)))
    await ability.demand(table.resolve(handler), attempted);
  // before the directory is read: archives of the same request, which failed before, may be in it
  for (const { id } of containers) await undoEarlier(stage, id, attempted, fx);
  if (askedNs !== undefined && (await isDoneSince(askedNs, reader, { attempted, containers }, fx))) {
    onThawed?.();
    return;
  }
  if (emptyDirectory !== undefined) await demandEmpty(emptyDirectory, { attempted, clock: reader.clock, fx });
  const together = containers.map(({ archive }) => archive);
  const request: Request = { attempted, together, noted: new Set(), kept: new Set() };
  const drafts: Draft[] = [];
  const reportThawed = once(onThawed);
  try {
    for (const container of containers) drafts.push(await begin(stage, container, request, fx));
    await withSpace(watchOf(stage, drafts, attempted, fx), (bounded) =>
      readAll(
        reader,
        drafts.map(({ job }) => job),
        request.kept,
        bounded,
      ).finally(reportThawed),
    );
    for (const draft of drafts)
      await withSpace(watchOf(stage, [draft], attempted, fx), (bounded) => pack(reader, draft, bounded));
    for (const draft of drafts) {
      await nameArchive(draft.call, draft.file);
      draft.hasName = true;
    }
    for (const { call } of drafts) await settleArchive(call);
  } catch (error) {
    // nothing is frozen any more or yet; the archives may be on a file system that does not answer
    reportThawed();
    for (const id of await dropAll(reader, drafts, fx)) request.kept.add(id);
    throw error;
  } finally {
    await closeAll(reader, drafts, fx);
    for (const id of request.noted)
      await (request.kept.has(id) ? keepNote(directory, id) : dropWork(directory, id));
  }
}

/** Whether an earlier daemon has completed the request. */
async function isDoneSince(
  ns: bigint,
  { clock }: Reader,
  { attempted, containers }: Pick<CheckpointInput, 'attempted' | 'containers'>,
  fx: EffectContext,
): Promise<boolean> {
  for (const { archive } of containers)
    if (!(await isWrittenSince(ns, { archive, attempted, clock, fx }))) return false;
  return true;
}

function once(report: (() => void) | undefined): () => void {
  let isReported = false;
  return () => {
    if (!isReported) report?.();
    isReported = true;
  };
}

/** The directory of checkpoints and these archives, which may be on other disks. */
function watchOf(
  { reader, directory, readFacts }: Stage,
  drafts: readonly Draft[],
  attempted: string,
  fx: EffectContext,
): SpaceWatch {
  const byMount = new Map(
    drafts.map(({ call, file, mountPoint }) => [
      mountPoint,
      { path: call.archive, opened: `/proc/self/fd/${file.fd}`, mountPoint },
    ]),
  );
  const own = { path: directory, opened: directory, mountPoint: directory };
  return { attempted, written: [own, ...byMount.values()], clock: reader.clock, fx, readFacts };
}

/**
 * Removes the archives concurrently, so that one on a dead file system does not delay the others. Returns the
 * containers whose archive may still exist.
 */
async function dropAll(
  { parts: { log } }: Reader,
  drafts: readonly Draft[],
  fx: EffectContext,
): Promise<readonly ContainerId[]> {
  const kept: ContainerId[] = [];
  await Promise.all(
    drafts.map(({ job, call, hasName }) =>
      dropArchive({ ...call, fx: unbounded(fx) }, hasName).catch((error: unknown) => {
        kept.push(job.container.id);
        log.warn({ archive: call.archive, fault: toFault(error) }, 'remove archive of checkpoint failed');
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
    drafts.map(({ call, ...archive }) =>
      closeArchive({ ...call, fx: unbounded(fx) }, archive).catch((error: unknown) =>
        log.warn({ archive: call.archive, fault: toFault(error) }, 'close archive of checkpoint failed'),
      ),
    ),
  );
}

async function begin(
  stage: Stage,
  container: CheckpointedContainer,
  { attempted, together, noted, kept }: Request,
  fx: EffectContext,
): Promise<Draft> {
  const { reader, directory } = stage;
  const { archive, id } = container;
  const handler = reader.parts.table.resolve(container.handler);
  const call: ArchiveCall = { archive, attempted, clock: reader.clock, fx };
  noted.add(id);
  const work = await makeWork(directory, {
    version: storedVersions.checkpointNote,
    id,
    handler: handler.name,
    archive,
    together,
  });
  let isTried = false;
  const archiveFile = await openArchive(call, () => void (isTried = true)).catch((error: unknown) => {
    if (isTried && mayAppearLate(error)) kept.add(id);
    throw error;
  });
  return { job: { container, handler, attempted, work }, call, ...archiveFile, hasName: false };
}

/**
 * Freezes all containers before the first is read, and thaws none before the last was read. Those that could not be
 * thawed are added to `frozen`.
 */
async function readAll(
  reader: Reader,
  jobs: readonly CheckpointJob[],
  frozen: Set<ContainerId>,
  fx: EffectContext,
): Promise<void> {
  const touched: CheckpointJob[] = [];
  try {
    for (const job of jobs) {
      touched.push(job);
      await freeze(reader, job, fx);
    }
    for (const job of jobs) await read(reader, job, fx);
  } finally {
    await Promise.all(
      touched.map(({ container: { id }, handler, attempted }) =>
        thaw(reader, { id, handler, attempted }, fx.note).catch((error: unknown) => {
          frozen.add(id);
          reader.parts.log.error({ id, fault: toFault(error) }, 'thaw container after checkpoint failed');
        }),
      ),
    );
  }
}

/** Packs the archive; the log is included as it is now. */
async function pack(reader: Reader, { job, file }: Draft, fx: EffectContext): Promise<void> {
  const { container, attempted, work } = job;
  const call = toolCall(reader, attempted, fx);
  if (container.logPath !== '') await copyLog(reader, call, container.logPath, join(work, FILES.log));
  const names: string[] = [];
  for (const name of Object.values(FILES)) if (await isThere(join(work, name))) names.push(name);
  await packAll(call, work, names, file);
}

/** The kubelet may be rotating the log at this moment: an archive without a log is valid. */
async function copyLog({ parts: { log } }: Reader, call: TarCall, from: string, to: string): Promise<void> {
  try {
    await copyFile(call, from, to);
  } catch (error) {
    const why = toFault(error);
    if (why.kind !== 'outside') throw error;
    log.warn({ fault: why }, 'copy log failed; the checkpoint has no log');
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
