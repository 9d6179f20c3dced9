/**
 * Restores: an archive is described and imported, then the runtime and CRIU create its processes under a monitor. The
 * runtime gets only CRIU's images from the archive; its configuration is generated from the request (S08).
 */
import { mkdir, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CheckpointPort } from '../../../ports/checkpoint.ts';
import type { ContainerInput } from '../../../ports/runtime.ts';
import type { RestoreSource } from '../../../ports/specs.ts';
import { fail, toFault } from '../../../base/fault.ts';
import type { ContainerId, Digest } from '../../../base/ids.ts';
import { parseContainerId } from '../../../base/ids.ts';
import { namesOf } from '../../../host/files/names-of.ts';
import { create } from '../container/create.ts';
import { forgetExit } from '../container/destroy.ts';
import { killWorkers } from '../container/kill.ts';
import type { DriverParts } from '../container/parts.ts';
import { readNote } from '../container/record.ts';
import { dropRuntimeState, exists } from '../container/state.ts';
import type { Ability } from './ability.ts';
import { FILES } from '../../documents/checkpoint-documents.ts';
import type { ArchiveSource } from './restore/protocol.ts';
import { describeArchive, importArchive } from './restore/reader.ts';

export interface RestoreStage {
  readonly parts: DriverParts;
  readonly ability: Ability;
  /** Whether the configuration allows restores. */
  readonly allowed: boolean;
  readonly layerOf: (diffId: Digest) => string;
}

/**
 * Marker file from before the monitor's launch until the processes run: a restarted daemon recognizes an interrupted
 * restore by it.
 */
const MARK = 'restoring';
/** Name of the images while they are removed. */
const USED = 'used';

export function createRestores(stage: RestoreStage): Pick<CheckpointPort, 'describe' | 'import' | 'restore'> {
  const { parts, ability } = stage;
  const { layout, table, clock, log, moves } = parts;
  return {
    describe: async ({ attempted, handler, from }, fx) => {
      if (!stage.allowed)
        fail('unsupported', `${attempted}: restores are disabled in the configuration (runtime.restore)`);
      await ability.demand(table.resolve(handler), attempted);
      return describeArchive({ kind: 'describe', source: sourceOf(stage, from) }, { attempted, clock, fx });
    },
    import: async ({ id, restore: { from, digest } }, fx) => {
      const into = layout.restoreDir(id);
      await rm(into, { recursive: true, force: true });
      await mkdir(into, { recursive: true, mode: 0o700 });
      await importArchive(
        { kind: 'import', source: sourceOf(stage, from), digest, into, rootfs: layout.rootfs(id) },
        { attempted: `restore container ${id}`, clock, fx },
      );
    },
    restore: async (input, fx) => {
      const directory = layout.restoreDir(input.id);
      const images = join(directory, FILES.images);
      if (!(await exists(images)))
        fail('notFound', `restore container ${input.id}: checkpoint not found`, {
          subject: input.id,
        });
      await ability.demand(table.resolve(input.handler), `restore container ${input.id}`);
      await writeFile(join(directory, MARK), '', { mode: 0o600 });
      try {
        const init = await moves.during((ready) =>
          create(parts, input, fx, ready, { images, toolPath: ability.path }),
        );
        await unmark(parts, input);
        return init;
      } finally {
        // the images are as large as the container's memory and not needed any more; what cannot be removed now is
        // removed with the container
        await drop(directory, images).catch((error: unknown) =>
          log.warn({ id: input.id, fault: toFault(error) }, 'remove images of restored container failed'),
        );
      }
    },
  };
}

/** Removes the images atomically for a restarted daemon: partial images are useless. */
async function drop(directory: string, images: string): Promise<void> {
  try {
    await rename(images, join(directory, USED));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * Removes the mark before the images: a restarted daemon restores a container with a mark again. If the mark cannot
 * be removed, the processes are killed, as that daemon would do.
 */
async function unmark(parts: DriverParts, { id, handler }: ContainerInput): Promise<void> {
  try {
    await unlink(join(parts.layout.restoreDir(id), MARK));
  } catch (error) {
    const note = await readNote(parts.layout, id);
    await killWorkers(parts, parts.table.resolve(handler), id, note?.cgroup);
    throw error;
  }
}

function sourceOf({ layerOf }: RestoreStage, from: RestoreSource['from']): ArchiveSource {
  return 'archive' in from ? { archive: from.archive } : { directory: layerOf(from.layer) };
}

/** Undoes the restores that an earlier daemon began: the containers are created but not started again. */
export async function undoRestores(parts: DriverParts): Promise<void> {
  const { layout, log } = parts;
  const names = await namesOf(layout.restoresDir).catch((error: unknown) => {
    log.error({ fault: toFault(error) }, 'list interrupted restores failed');
    return [];
  });
  for (const name of names) {
    const id = parseContainerId(name);
    if (id === undefined) continue;
    try {
      if (await exists(join(layout.restoreDir(id), MARK))) await undoRestore(parts, id);
    } catch (error) {
      log.error({ id, fault: toFault(error) }, 'undo interrupted restore failed');
    }
  }
}

async function undoRestore(parts: DriverParts, id: ContainerId): Promise<void> {
  const { layout, table } = parts;
  const note = await readNote(layout, id);
  const handler = table.known().find((one) => one.name === note?.handler);
  if (handler !== undefined) {
    await killWorkers(parts, handler, id, note?.cgroup);
    await dropRuntimeState(handler.root, id);
  }
  // the monitor's exit file is about processes that were never reported
  await forgetExit(parts, id);
  await unlink(join(layout.restoreDir(id), MARK));
}
