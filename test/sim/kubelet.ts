/**
 * A pod worker as the kubelet has them: it reads the lists, does the next thing, and does so again after every
 * failure, each time with another termination log and a changed annotation; now and then the same call twice at once.
 */
import { fail, FaultError } from '../../src/base/fault.ts';
import type { ContainerSpec, RestoreSource, SandboxKey } from '../../src/ports/specs.ts';
import type { ContainerId, ImageId, SandboxId } from '../../src/base/ids.ts';
import type { ContainerView, SandboxView } from '../../src/actors/directory/views.ts';
import { CheckpointClient } from './client-checkpoints.ts';
import { Client, kindOf } from './client.ts';
import type { Random } from './random.ts';
import { containerSpec, sandboxSpec } from './specs.ts';
import type { PodShape } from './specs.ts';
import { CHECKPOINT, REFERENCES } from './storage-images-twins.ts';
import type { World } from './world.ts';

export interface PodPlan extends PodShape {
  readonly name: string;
  readonly containers: readonly string[];
  readonly image: string;
  /** Times that each container is run. */
  readonly runs: number;
  readonly graceMs: number;
  /**
   * `tidy`: stop, remove, stop sandbox, remove sandbox. `sandboxOnly`: the sandbox's calls do all. `sandboxStopped`:
   * so, and the removal comes some rounds of the janitor later. `sandboxRemoved`: its removal does all.
   */
  readonly teardown: 'tidy' | 'sandboxOnly' | 'sandboxStopped' | 'sandboxRemoved' | 'removeOnly';
  /** The limits of each container are changed once it was started, and a probe is run in it. */
  readonly resizes: boolean;
  /**
   * `container`: a checkpoint of each that runs, of which its next run is made. `image`: each is made from the image
   * that is a checkpoint. `pod`: once all run, the pod is restored from its checkpoint.
   */
  readonly checkpoints?: 'container' | 'image' | 'pod';
  /** The second container joins the PID namespace of the first. */
  readonly targets?: boolean;
  /** An image that each container mounts. */
  readonly volume?: string;
  /**
   * Milliseconds for which a list is reused (PLEG relists, informers): calls then come for what has changed meanwhile.
   * A conflict is an answer to those.
   */
  readonly staleMs?: number;
  /** Milliseconds between the last start and the teardown. */
  readonly livesMs: number;
}

export interface Manners {
  /** How often a call is made twice at once. */
  readonly duplicates: number;
  readonly deadlineMs: () => number;
}

/** The image of which the checkpoint's container was made. */
const CHECKPOINTED = REFERENCES[0] ?? '';

/** A call is refused when the state has changed since the client read it. */
function unlessRefused(thrown: unknown): false {
  if (kindOf(thrown) !== 'wrongState') throw thrown;
  return false;
}

/** Milliseconds until garbage is collected: some rounds of the janitor. */
const WAIT_MS = 15_000;

export class PodWorker {
  readonly plan: PodPlan;
  /** Everything was run, ended and removed. */
  done = false;
  phase: 'running' | 'ending' = 'running';
  readonly #world: World;
  readonly #random: Random;
  readonly #manners: Manners;
  readonly #client: Client;
  readonly #checkpoints: CheckpointClient;
  readonly #finished = new Map<string, number>();
  /** By the container's name. */
  readonly #archives = new Map<string, string>();
  #isMoved = false;
  #listedMs = -Infinity;
  #sandboxList: readonly SandboxView[] = [];
  #containerList: readonly ContainerView[] = [];
  #tries = 0;

  constructor(world: World, plan: PodPlan, random: Random, manners: Manners) {
    this.#world = world;
    this.plan = plan;
    this.#random = random;
    this.#manners = manners;
    this.#client = new Client(world, manners.deadlineMs);
    this.#checkpoints = new CheckpointClient(world, manners.deadlineMs);
  }

  /** Ends when the pod is gone; the world decides how long that takes. */
  async work(): Promise<void> {
    while (!this.done) {
      try {
        if (this.phase === 'running' ? await this.#sync() : await this.#end()) {
          if (this.phase === 'ending') this.done = true;
          else await this.#world.sleep(this.plan.livesMs);
          this.phase = 'ending';
        }
      } catch (thrown) {
        const kind = kindOf(thrown);
        this.#world.history.note(`${this.plan.name}: ${String(thrown)}`);
        // a reload may have removed the pod's handler
        if (kind === 'bug' || (kind === 'invalidRequest' && !String(thrown).endsWith('is not configured')))
          this.#world.history.wrongs.push(`I18 ${this.plan.name}: ${String(thrown)}`);
        this.#listedMs = -Infinity;
        if (kind === 'conflict' && this.plan.staleMs === undefined && !this.#isBroken(thrown))
          this.#world.history.wrongs.push(`I13 ${this.plan.name}: ${String(thrown)}`);
        await this.#world.sleep(50 + this.#random.int(500));
      }
    }
  }

  /**
   * The pod was ready, and others took a part of it away before a hand-over let the answer through. A pod that is not
   * ready is never returned, so an error is right; the list shows the pod, and the next attempt follows.
   */
  #isBroken(thrown: unknown): boolean {
    return thrown instanceof FaultError && this.#world.kernel.broken.has(thrown.fault.subject ?? '');
  }

  #sandboxes(): readonly SandboxView[] {
    this.#list();
    return this.#sandboxList.filter((view) => view.listed && view.spec.key.name === this.plan.name);
  }

  #containersOf(id: SandboxId): readonly ContainerView[] {
    this.#list();
    return this.#containerList.filter((view) => view.listed && view.spec.key.sandboxId === id);
  }

  /** Reads the lists, unless those that it has are young enough. */
  #list(): void {
    const { listed: troupe, scheduler, made } = this.#world;
    const ageMs = scheduler.nowMs - this.#listedMs;
    if (ageMs < (this.plan.staleMs ?? 0)) {
      made.staleLists += 1;
      return;
    }
    this.#listedMs = scheduler.nowMs;
    this.#sandboxList = troupe?.directory.sandboxes() ?? [];
    this.#containerList = troupe?.directory.containers() ?? [];
  }

  /** Does what is missing, one thing after the other; true when all has been run. */
  async #sync(): Promise<boolean> {
    this.#refuseWhileDown();
    const ready = this.#sandboxes().find((view) => view.ready);
    const sandboxId = ready?.id ?? (await this.#runSandbox());
    for (const name of this.plan.containers) {
      while ((this.#finished.get(name) ?? 0) < this.plan.runs) await this.#runContainer(sandboxId, name);
    }
    if (this.plan.checkpoints === 'pod' && !this.#isMoved) await this.#move(sandboxId);
    return true;
  }

  /** A real kubelet gets no list from a daemon that is down, so it decides nothing. */
  #refuseWhileDown(): void {
    if (!this.#world.serving) fail('notReady', 'no list');
  }

  async #runSandbox(): Promise<SandboxId> {
    const key = this.#nextKey();
    return this.#maybeTwice(() => this.#client.run(sandboxSpec(key, this.plan, this.#fresh())));
  }

  #nextKey(): SandboxKey {
    const attempts = this.#sandboxes().map((view) => view.spec.key.attempt);
    return {
      name: this.plan.name,
      namespace: 'sim',
      uid: `uid-${this.plan.name}`,
      attempt: Math.max(-1, ...attempts) + 1,
    };
  }

  /** One step of one container's life; counts it once it has been seen running or ended. */
  async #runContainer(sandboxId: SandboxId, name: string): Promise<void> {
    this.#refuseWhileDown();
    const mine = this.#containersOf(sandboxId).filter((view) => view.spec.key.name === name);
    const newest = mine.reduce<ContainerView | undefined>(
      (so, view) => (so === undefined || view.spec.key.attempt > so.spec.key.attempt ? view : so),
      undefined,
    );
    const count = this.#finished.get(name) ?? 0;
    if (newest !== undefined && newest.spec.key.attempt >= count && newest.criState !== 'created') {
      // ran or runs: the next run follows when this one has ended
      this.#finished.set(name, count + 1);
      if (newest.criState === 'running' && this.plan.checkpoints === 'container')
        await this.#checkpoint(newest);
      if (newest.criState === 'running' && this.plan.resizes) await this.#resize(newest.id);
      if (newest.criState === 'running' && count + 1 < this.plan.runs) await this.#stop(newest.id);
      return;
    }
    if (newest?.criState === 'created') {
      await this.#maybeTwice(() => this.#client.start(newest.id));
      return;
    }
    const key = { sandboxId, name, attempt: (newest?.spec.key.attempt ?? -1) + 1 };
    const from = await this.#sourceOf(name);
    const imageId = await this.#imageId(
      from !== undefined && 'image' in from ? CHECKPOINTED : this.plan.image,
    );
    const volume = this.plan.volume === undefined ? undefined : await this.#imageId(this.plan.volume);
    const targetId = this.#targetOf(sandboxId, name);
    if (targetId !== undefined) this.#world.made.targeted += 1;
    const spec = (of: ImageId): ContainerSpec =>
      containerSpec(key, this.plan, of, this.#fresh(), { volume, targetId });
    const id = await this.#maybeTwice(() =>
      from === undefined
        ? this.#client.create(spec(imageId))
        : this.#checkpoints.createFrom(sandboxId, from, spec),
    ).catch((thrown: unknown) => {
      // its target has ended and was collected since the list was read: a refusal is right
      if (targetId !== undefined && this.#world.listed?.directory.container(targetId) === undefined)
        fail('wrongState', String(thrown));
      throw thrown;
    });
    await this.#maybeTwice(() => this.#client.start(id));
  }

  #targetOf(sandboxId: SandboxId, name: string): ContainerId | undefined {
    const [first] = this.plan.containers;
    if (this.plan.targets !== true || name === first) return undefined;
    return this.#containersOf(sandboxId).find(
      ({ spec, criState }) => spec.key.name === first && criState === 'running',
    )?.id;
  }

  async #imageId(reference: string): Promise<ImageId> {
    return (
      this.#world.listed?.findImage(reference)?.id ??
      (await this.#maybeTwice(() => this.#client.pull(reference)))
    );
  }

  /** The inputs of the container's next run, beside its image. */
  async #sourceOf(name: string): Promise<RestoreSource['from'] | undefined> {
    const archive = this.#archives.get(name);
    if (archive !== undefined) return { archive };
    if (this.plan.checkpoints !== 'image') return undefined;
    const image = await this.#imageId(CHECKPOINT);
    const [layer] = this.#world.listed?.images().find(({ id }) => id === image)?.layers ?? [];
    return layer === undefined ? undefined : { image, layer: layer.diffId };
  }

  /** One that has ended meanwhile, or that another call is ending, is not read, as is right. */
  async #checkpoint({ id, spec }: ContainerView): Promise<void> {
    const archive = `/archives/${this.#fresh()}.tar`;
    const isWritten = await this.#checkpoints.checkpoint(id, archive).then(() => true, unlessRefused);
    if (isWritten) this.#archives.set(spec.key.name, archive);
  }

  /** The pod is written down, removed, and restored as another one. */
  async #move(sandboxId: SandboxId): Promise<void> {
    const running = this.#containersOf(sandboxId).filter((view) => view.criState === 'running');
    const ids = new Map(running.map((view) => [view.spec.key.name, view.id]));
    const directory = `/archives/${this.#fresh()}`;
    this.#isMoved = true;
    if (
      ids.size === 0 ||
      !(await this.#checkpoints.checkpointPod(sandboxId, directory, ids).then(() => true, unlessRefused))
    )
      return;
    await this.#maybeTwice(() => this.#client.removeSandbox(sandboxId));
    await this.#imageId(this.plan.image);
    const containers = [...ids.keys()].map((name) => ({
      archive: `${directory}/${name}.tar`,
      specFor: (id: SandboxId, imageId: ImageId) =>
        containerSpec({ sandboxId: id, name, attempt: 0 }, this.plan, imageId, this.#fresh()),
    }));
    const restored = await this.#checkpoints.restorePod(
      sandboxSpec(this.#nextKey(), this.plan, this.#fresh()),
      containers,
    );
    for (const view of this.#containersOf(restored))
      if (view.criState === 'created') await this.#maybeTwice(() => this.#client.start(view.id));
  }

  /** A resize and a probe; what has ended meanwhile refuses them, as is right. */
  async #resize(id: ContainerId): Promise<void> {
    this.#tries += 1;
    const shares = BigInt(2 + this.#tries);
    for (const call of [
      () => this.#client.update(id, shares),
      () => this.#client.exec(id),
      () => this.#client.reopenLog(id),
    ]) {
      await call().catch(unlessRefused);
    }
  }

  /** Ends what is listed; true when nothing is any more. */
  async #end(): Promise<boolean> {
    this.#refuseWhileDown();
    const sandboxes = this.#sandboxes();
    for (const { id } of sandboxes) {
      if (this.plan.teardown === 'tidy') {
        for (const container of this.#containersOf(id)) await this.#stop(container.id);
      }
      const { teardown } = this.plan;
      if (teardown === 'sandboxStopped') await this.#stopAndWait(id);
      else if (teardown === 'tidy' || teardown === 'sandboxOnly')
        await this.#maybeTwice(() => this.#client.stopSandbox(id));
      if (teardown === 'tidy' || teardown === 'removeOnly') {
        for (const container of this.#containersOf(id))
          await this.#maybeTwice(() => this.#client.remove(container.id));
      }
      await this.#maybeTwice(() => this.#client.removeSandbox(id));
    }
    this.#refuseWhileDown();
    this.#listedMs = -Infinity;
    return this.#sandboxes().length === 0;
  }

  /** A kubelet that is satisfied with one try, and collects garbage later. */
  async #stopAndWait(id: SandboxId): Promise<void> {
    await this.#client
      .stopSandbox(id)
      .catch((thrown: unknown) => this.#world.history.note(`${this.plan.name}: ${String(thrown)}`));
    await this.#world.sleep(WAIT_MS);
  }

  /** The CPU manager goes its rounds while a container has its grace. */
  async #stop(id: ContainerId): Promise<void> {
    const stopped = this.#maybeTwice(() => this.#client.stop(id, this.plan.graceMs));
    // neither is left without somebody who hears of its failure
    for (const done of await Promise.allSettled([stopped, this.#rounds(id)]))
      if (done.status === 'rejected') throw done.reason;
  }

  async #rounds(id: ContainerId): Promise<void> {
    for (let round = 0; round < 3 && this.plan.resizes; round += 1) {
      await this.#world.sleep(Math.floor(this.plan.graceMs / 8));
      this.#tries += 1;
      const shares = BigInt(2 + this.#tries);
      await this.#client.update(id, shares).catch(unlessRefused);
    }
  }

  async #maybeTwice<T>(call: () => Promise<T>): Promise<T> {
    if (!this.#random.chance(this.#manners.duplicates)) return call();
    const [first, second] = await Promise.allSettled([
      call(),
      this.#world.sleep(this.#random.int(40)).then(call),
    ]);
    if (first.status === 'fulfilled') {
      if (
        second.status === 'fulfilled' &&
        typeof first.value === 'string' &&
        first.value !== (second.value as unknown)
      ) {
        this.#world.history.wrongs.push(
          `I13 two calls with one name got ${first.value} and ${String(second.value)}`,
        );
      }
      return first.value;
    }
    throw first.reason;
  }

  #fresh(): string {
    this.#tries += 1;
    return `${this.plan.name}-${this.#tries}`;
  }
}
