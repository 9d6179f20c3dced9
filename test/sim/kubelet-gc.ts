/**
 * A kubelet's garbage collection under disk pressure: it reads lists, and a while later removes images that nobody
 * used, dead containers that are not the newest of their name, and stopped sandboxes without containers, as the lists
 * said.
 */
import type { ContainerView, SandboxView } from '../../src/actors/directory/views.ts';
import { Client, kindOf } from './client.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

/** Most milliseconds between two rounds, and between a list and what follows from it. */
const ROUND_MS = 2000;
const STALE_MS = 400;

export class KubeletGc {
  over = false;
  removed = 0;
  readonly #world: World;
  readonly #random: Random;
  readonly #client: Client;

  constructor(world: World, random: Random, deadlineMs: () => number) {
    this.#world = world;
    this.#random = random;
    this.#client = new Client(world, deadlineMs);
  }

  async work(): Promise<void> {
    while (!this.over) {
      await this.#world.sleep(this.#random.int(ROUND_MS));
      for (const remove of this.#wanted()) {
        await this.#world.sleep(this.#random.int(STALE_MS));
        if (this.over) return;
        this.#world.made.collected += 1;
        await remove().catch((thrown: unknown) => {
          if (kindOf(thrown) === 'bug') this.#world.history.wrongs.push(`I18 gc: ${String(thrown)}`);
        });
      }
    }
  }

  #wanted(): (() => Promise<void>)[] {
    const { listed: troupe, serving } = this.#world;
    if (troupe === undefined || !serving) return [];
    const containers = troupe.directory.containers().filter(({ listed }) => listed);
    const sandboxes = troupe.directory.sandboxes().filter(({ listed }) => listed);
    const used = new Set(
      containers.flatMap(({ image }) => [image.id, ...(image.volumes ?? []).map(({ id }) => id)]),
    );
    return [
      ...troupe
        .images()
        .filter((image) => !used.has(image.id) && !troupe.isPinned(image))
        .flatMap(({ repoTags }) => repoTags.slice(0, 1))
        .map((tag) => () => this.#client.removeImage(tag)),
      ...containers
        .filter((view) => view.criState === 'exited' && containers.some((other) => isNewer(other, view)))
        .map(
          ({ id }) =>
            () =>
              this.#client.remove(id),
        ),
      ...sandboxes
        .filter((view) => !view.ready && isEmptyAndOld(view, sandboxes, containers))
        .map(
          ({ id }) =>
            () =>
              this.#client.removeSandbox(id),
        ),
    ];
  }
}

function isNewer({ spec: { key } }: ContainerView, { spec: { key: old } }: ContainerView): boolean {
  return key.sandboxId === old.sandboxId && key.name === old.name && key.attempt > old.attempt;
}

function isEmptyAndOld(
  view: SandboxView,
  sandboxes: readonly SandboxView[],
  containers: readonly ContainerView[],
): boolean {
  const { name, uid, attempt } = view.spec.key;
  return (
    containers.every(({ spec }) => spec.key.sandboxId !== view.id) &&
    sandboxes.some(({ spec: { key } }) => key.name === name && key.uid === uid && key.attempt > attempt)
  );
}
