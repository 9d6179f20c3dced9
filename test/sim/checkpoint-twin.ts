/**
 * Runtime and CRIU over the simulated kernel, as far as checkpoints and restores go. Each step of the driver is an
 * effect of its own, so that the world moves, and the daemon dies, between any two of them.
 */
import type {
  CheckpointFacts,
  CheckpointedContainer,
  CheckpointInput,
  CheckpointPort,
} from '../../src/ports/checkpoint.ts';
import type { EffectContext } from '../../src/ports/effect.ts';
import { Semaphore } from '../../src/base/bounded.ts';
import { fail } from '../../src/base/fault.ts';
import { checkpointLimits } from '../../src/oci/runtime/bounds.ts';
import { archiveAt, digestOf, stageOf } from './checkpoint-steps.ts';
import type { AroundStep, CheckpointStage } from './checkpoint-steps.ts';
import { partialOf } from './checkpoint-model.ts';
import type { SimArchive } from './checkpoint-model.ts';
import type { Kernel } from './kernel.ts';
import type { Outside } from './outside.ts';
import { restoreTwin } from './restore-twin.ts';

export interface CheckpointTwin extends CheckpointPort {
  /** What the driver does at the begin of a life. */
  open(): Promise<void>;
}

const alone: AroundStep = (_step, work) => work();

/** The port in the life `epoch`. */
export function checkpointTwin(
  kernel: Kernel,
  outside: Outside,
  epoch: number,
  around: AroundStep = alone,
): CheckpointTwin {
  const stage = stageOf(kernel, outside, epoch, around);
  const { scheduler } = outside;
  const gate = new Semaphore('checkpoints', checkpointLimits.atOnce, checkpointLimits.waiting);
  return {
    open: async () => {
      const { works, restores } = kernel.checkpoints;
      if (works.size > 0) await gate.with(() => stage.surely('undo', () => undoWorks(kernel)));
      if ([...restores.values()].some(({ isMarked }) => isMarked))
        await stage.surely('undoRestores', () => undoRestores(kernel));
    },
    checkpoint: async (input, fx) => {
      const endMs = scheduler.nowMs + fx.timeoutMs;
      const left: EffectContext = {
        signal: fx.signal,
        note: fx.note,
        get timeoutMs() {
          return Math.max(1, endMs - scheduler.nowMs);
        },
      };
      await gate.with(() => checkpoint(stage, input, left), fx.signal);
    },
    describe: async ({ attempted, from }, fx) => {
      let facts: CheckpointFacts | undefined;
      await stage.step('describe', fx, [() => void (facts = factsOf(archiveAt(kernel, from, attempted)))]);
      return facts ?? fail('bug', `${attempted}: described nothing`);
    },
    ...restoreTwin(stage),
  };
}

/** All are still before the first is read, and all go on before anything is packed. */
async function checkpoint(stage: CheckpointStage, input: CheckpointInput, fx: EffectContext): Promise<void> {
  const { attempted, containers } = input;
  const { works } = stage.kernel.checkpoints;
  const drafts: CheckpointedContainer[] = [];
  if (isDone(stage, input)) {
    input.onThawed?.();
    return;
  }
  try {
    try {
      await stage.step('begin', fx, [
        () => demandEmpty(stage, input),
        ...containers.map((one) => () => begin(stage, input, one, drafts)),
      ]);
      await stage.step(
        'freeze',
        fx,
        containers.map(({ id }) => () => {
          if (!stage.kernel.freeze(id))
            fail('outside', `${attempted}: runc pause: ${id} does not run`, { subject: id });
        }),
      );
      await stage.step(
        'read',
        fx,
        containers.map((one) => () => read(stage, one)),
      );
    } finally {
      await stage.surely('thaw', () => containers.forEach(({ id }) => stage.kernel.thaw(id)));
      input.onThawed?.();
    }
    await stage.step(
      'pack',
      fx,
      drafts.map((one) => () => pack(stage, one)),
    );
    await publish(stage, drafts, fx);
  } catch (thrown) {
    await stage.surely('drop', () => {
      for (const { archive } of drafts) drop(stage, archive);
      stage.kernel.checkpoints.syncNames();
    });
    throw thrown;
  } finally {
    await stage.surely('end', () => containers.forEach(({ id }) => works.delete(id)));
  }
}

function demandEmpty({ kernel }: CheckpointStage, { attempted, emptyDirectory }: CheckpointInput): void {
  if (emptyDirectory === undefined) return;
  const held = [...kernel.checkpoints.archives.keys()].some((path) => path.startsWith(`${emptyDirectory}/`));
  if (held)
    fail('invalidRequest', `${attempted}: write to ${emptyDirectory}: the directory is not empty`, {
      subject: emptyDirectory,
    });
}

/** The note, then the empty file. */
function begin(
  { kernel, epoch }: CheckpointStage,
  { attempted, containers }: CheckpointInput,
  container: CheckpointedContainer,
  drafts: CheckpointedContainer[],
): void {
  const { id, archive, image } = container;
  const { checkpoints } = kernel;
  if (checkpoints.works.has(id)) kernel.wrongs.push(`two checkpoints of ${id} at once`);
  checkpoints.works.set(id, { archive, together: containers.map((one) => one.archive), epoch });
  for (const path of [archive, partialOf(archive)]) {
    if (checkpoints.archives.has(path))
      fail('conflict', `${attempted}: write ${path}: there is something of that name`, { subject: path });
  }
  checkpoints.name(partialOf(archive), {
    imageId: image.id,
    files: 0,
    isWhole: false,
    isSynced: false,
    writtenNs: 0n,
  });
  drafts.push(container);
}

function read({ kernel }: CheckpointStage, { id, archive }: CheckpointedContainer): void {
  if (!kernel.frozen.has(id))
    fail('outside', `checkpoint ${id}: runc checkpoint: it does not stand still`, { subject: id });
  const part = kernel.checkpoints.archives.get(partialOf(archive));
  if (part !== undefined) part.files = kernel.rootfs.get(id)?.files ?? 0;
}

function pack({ kernel, outside }: CheckpointStage, { archive }: CheckpointedContainer): void {
  const part = kernel.checkpoints.archives.get(partialOf(archive));
  if (part !== undefined) Object.assign(part, { isWhole: true, writtenNs: outside.scheduler.nowNs() });
}

/** An earlier daemon has completed the request. */
function isDone({ kernel }: CheckpointStage, { containers, askedNs }: CheckpointInput): boolean {
  const { archives } = kernel.checkpoints;
  return (
    askedNs !== undefined &&
    containers.every(({ archive }) => {
      const found = archives.get(archive);
      return found?.isWhole === true && found.writtenNs >= askedNs && !archives.has(partialOf(archive));
    })
  );
}

/** All of them have their names before the first part goes: from that a later instance knows whether it was all. */
async function publish(
  stage: CheckpointStage,
  drafts: readonly CheckpointedContainer[],
  fx: EffectContext,
): Promise<void> {
  const { checkpoints } = stage.kernel;
  const link =
    ({ archive }: CheckpointedContainer) =>
    (): void => {
      const part = checkpoints.archives.get(partialOf(archive));
      if (part === undefined) return;
      part.isSynced = true;
      if (checkpoints.archives.has(archive))
        fail('conflict', `write ${archive}: there is something of that name`, { subject: archive });
      checkpoints.name(archive, part);
    };
  await stage.step('publish', fx, drafts.map(link));
  await stage.step('settle', fx, [
    ...drafts.map(
      ({ archive }) =>
        () =>
          checkpoints.name(partialOf(archive), undefined),
    ),
    () => checkpoints.syncNames(),
  ]);
}

/** What a failed request leaves. */
function drop({ kernel: { checkpoints } }: CheckpointStage, archive: string): void {
  if (checkpoints.isPublished(archive)) checkpoints.name(archive, undefined);
  if (checkpoints.archives.has(partialOf(archive))) checkpoints.name(partialOf(archive), undefined);
}

function undoWorks(kernel: Kernel): void {
  for (const id of kernel.checkpoints.works.keys()) kernel.thaw(id);
  kernel.checkpoints.undo();
}

/**
 * The containers are created ones again; their monitors' reports on processes that no client knew are dropped.
 */
function undoRestores(kernel: Kernel): void {
  for (const [id, restore] of kernel.checkpoints.restores) {
    if (!restore.isMarked) continue;
    kernel.kill('monitor', id);
    kernel.kill('init', id);
    kernel.runtimeStates.delete(id);
    kernel.exitFiles.delete(id);
    kernel.trueExits.delete(id);
    restore.isMarked = false;
  }
}

function factsOf(archive: SimArchive): CheckpointFacts {
  return { digest: digestOf(archive), images: [archive.imageId], mounts: [], tty: false };
}
