/** The calls of a client that have to do with checkpoints, with their book-keeping. */
import type { Call } from '../../src/actors/directory/ask.ts';
import type { ContainerSpec, RestoreSource, SandboxSpec } from '../../src/ports/specs.ts';
import type { Troupe } from '../../src/actors/troupe.ts';
import { fail } from '../../src/base/fault.ts';
import type { ContainerId, ImageId, SandboxId } from '../../src/base/ids.ts';
import { RestoredPods } from '../../src/cri/lookup/restored-pods.ts';
import { isLost, kindOf } from './client.ts';
import type { World } from './world.ts';

/** A container to be, but for what the checkpoint says of it. */
export type SpecForImage = (imageId: ImageId) => ContainerSpec;

/** One that is made from the archive at this path. */
export interface Archived {
  readonly archive: string;
  readonly specFor: (sandboxId: SandboxId, imageId: ImageId) => ContainerSpec;
}

/** Each daemon's. */
const restoredBy = new WeakMap<Troupe, RestoredPods>();

export class CheckpointClient {
  readonly #world: World;
  readonly #deadlineMs: () => number;

  constructor(world: World, deadlineMs: () => number) {
    this.#world = world;
    this.#deadlineMs = deadlineMs;
  }

  async checkpoint(id: ContainerId, archive: string): Promise<void> {
    await this.#writes([id], [archive], 'CheckpointContainer', (troupe, call) =>
      troupe.checkpointContainer({ id, archive }, 0, call),
    );
  }

  /** Archives in a directory of their own, by the containers' names. */
  async checkpointPod(
    id: SandboxId,
    directory: string,
    containers: ReadonlyMap<string, ContainerId>,
  ): Promise<void> {
    const wanted = [...containers].map(([name, one]) => ({ id: one, archive: `${directory}/${name}.tar` }));
    await this.#writes(
      [...containers.values()],
      wanted.map(({ archive }) => archive),
      'CheckpointPod',
      (troupe, call) => troupe.checkpointSandbox(id, { directory, wanted }, call),
    );
  }

  async #writes(
    ids: readonly ContainerId[],
    archives: readonly string[],
    operation: string,
    work: (troupe: Troupe, call: Call) => Promise<void>,
  ): Promise<void> {
    const { history } = this.#world;
    const oks = ids.map((id) => history.begin('checkpoint', id));
    const answered = history.archive(archives);
    const { epoch } = this.#world.scheduler;
    try {
      await this.#world.call(operation, this.#deadlineMs(), work);
      for (const ok of oks) ok();
      answered('written');
    } catch (thrown) {
      // the driver, which nobody waits for any more, may have been about to answer that it has written them
      const isGivenUp =
        kindOf(thrown) === 'timedOut' && String(thrown).includes('checkpoint: timed out after');
      // a former daemon that passed the call on may end alone: the one that serves goes on with it (seed 7179)
      const isAnswer = epoch === this.#world.scheduler.epoch && !isGivenUp && !isLost(thrown);
      answered(isAnswer ? 'refused' : 'unsure');
      throw thrown;
    }
  }

  /** Of whatever the source holds, if its image is present. */
  async createFrom(
    sandboxId: SandboxId,
    from: RestoreSource['from'],
    specFor: SpecForImage,
  ): Promise<ContainerId> {
    const { history } = this.#world;
    const ok = history.begin('createIn', sandboxId);
    const id = await this.#world.call('CreateContainer', this.#deadlineMs(), (troupe, call) =>
      createFrom(troupe, { sandboxId, from, specFor }, call),
    );
    ok();
    history.created(id, sandboxId);
    return id;
  }

  /** As src/cri/runtime/restore-pod.ts. */
  async restorePod(spec: SandboxSpec, containers: readonly Archived[]): Promise<SandboxId> {
    const { history } = this.#world;
    const made: ContainerId[] = [];
    const sandboxId = await this.#world.call('RestorePod', this.#deadlineMs(), async (troupe, call) => {
      const pods = restoredBy.get(troupe) ?? new RestoredPods();
      restoredBy.set(troupe, pods);
      const watched = {
        directory: troupe.directory,
        runSandbox: troupe.runSandbox.bind(troupe),
        removeSandbox: async (id: SandboxId, of: Call) => {
          history.askedToRemoveSandbox(id);
          await troupe.removeSandbox(id, of);
        },
      };
      return pods.restore(watched, spec, call, async (id) => {
        for (const { archive, specFor } of containers)
          made.push(
            await createFrom(
              troupe,
              { sandboxId: id, from: { archive }, specFor: (imageId) => specFor(id, imageId) },
              call,
            ),
          );
        return id;
      });
    });
    history.ran(sandboxId);
    for (const id of made) history.created(id, sandboxId);
    return sandboxId;
  }

  /** Archives are the clients'. */
  forget(archive: string): void {
    const { history, kernel } = this.#world;
    if (!history.forgetArchive(archive)) return;
    kernel.checkpoints.name(archive, undefined);
    kernel.checkpoints.syncNames();
  }
}

interface From {
  readonly sandboxId: SandboxId;
  readonly from: RestoreSource['from'];
  readonly specFor: SpecForImage;
}

async function createFrom(
  troupe: Troupe,
  { sandboxId, from, specFor }: From,
  call: Call,
): Promise<ContainerId> {
  const attempted = 'CreateContainer from a checkpoint';
  const { images, digest } = await troupe.describeCheckpoint({ attempted, sandboxId, from }, call);
  const image = images.map((name) => troupe.findImage(name)).find((found) => found !== undefined);
  if (image === undefined) return fail('notFound', `${attempted}: image ${images.join(', ')}: not found`);
  return troupe.createContainer({ ...specFor(image.id), restore: { from, digest } }, call);
}
