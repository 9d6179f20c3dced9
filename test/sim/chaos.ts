/** A client without manners: any call on anything it knows, in any order, with any deadline; it believes no answer. */
import type { RestoreSource } from '../../src/ports/specs.ts';
import type { ContainerView, SandboxView } from '../../src/actors/directory/views.ts';
import type { ContainerId, ImageId, SandboxId } from '../../src/base/ids.ts';
import { actorLimits } from '../../src/actors/bounds.ts';
import { isRunning } from '../../src/actors/directory/phases.ts';
import { CheckpointClient } from './client-checkpoints.ts';
import { Client, kindOf } from './client.ts';
import type { Random } from './random.ts';
import { containerSpec, sandboxSpec } from './specs.ts';
import { CHECKPOINT, REFERENCES } from './storage-images-twins.ts';
import type { World } from './world.ts';

const NAMES = ['chaos-a', 'chaos-b'] as const;
const SHAPE = { sharedPid: false, hostNetwork: false } as const;
/** Share of the calls that have to do with checkpoints. */
const CHECKPOINTS = 0.12;
/** Milliseconds after which a start that hangs is given up once a stop has come. */
const STALL_MS = actorLimits.startGivenUpMs;

export class Chaos {
  over = false;
  readonly #world: World;
  readonly #random: Random;
  readonly #client: Client;
  readonly #checkpoints: CheckpointClient;
  readonly #rare: Random;
  readonly #removesImages: boolean;
  /** Milliseconds between two calls at most: few, and nearly all overlap. */
  readonly #pauseMs: number;
  #calls = 0;

  /** `rare` is drawn from for what few calls are about. */
  constructor(world: World, random: Random, rare: Random, deadlineMs: () => number) {
    this.#world = world;
    this.#random = random;
    this.#rare = rare;
    this.#client = new Client(world, deadlineMs);
    this.#checkpoints = new CheckpointClient(world, deadlineMs);
    this.#removesImages = random.chance(0.5);
    this.#pauseMs = random.chance(0.4) ? 8 : 80;
  }

  async work(): Promise<void> {
    while (!this.over) {
      await this.#world.sleep(this.#random.int(this.#pauseMs));
      // not waited for: calls overlap
      if (this.#world.isReachable)
        void (this.#rare.chance(CHECKPOINTS) ? this.#checkpoint() : this.#one()).catch((thrown: unknown) =>
          this.#judge(thrown),
        );
    }
  }

  #judge(thrown: unknown): void {
    if (kindOf(thrown) === 'bug') this.#world.history.wrongs.push(`I18 chaos: ${String(thrown)}`);
  }

  async #one(): Promise<void> {
    const random = this.#random;
    this.#calls += 1;
    const fresh = `chaos-${this.#calls}`;
    const shape = { sharedPid: random.chance(0.3), hostNetwork: random.chance(0.3) };
    const key = { name: random.pick(NAMES), namespace: 'sim', uid: 'chaos', attempt: random.int(2) };
    const sandbox = this.#some('sandboxes') as SandboxId | undefined;
    const container = this.#some('containers') as ContainerId | undefined;
    switch (random.int(11)) {
      case 0:
      case 1:
        await this.#client.run(sandboxSpec(key, shape, fresh));
        return;
      case 2:
      case 3:
        if (sandbox !== undefined) await this.#create(sandbox, fresh, shape.sharedPid);
        return;
      case 4:
        if (container !== undefined) await this.#start(container);
        return;
      case 5:
        if (container !== undefined) await this.#stop(container, random.int(2) * random.int(300));
        return;
      case 6:
        if (container !== undefined) await this.#client.remove(container);
        return;
      case 7:
        if (container !== undefined) await this.#update(container, random.int(1000));
        return;
      case 8:
        if (container !== undefined)
          await (random.chance(0.5) ? this.#client.exec(container) : this.#client.reopenLog(container));
        return;
      case 9:
        if (sandbox === undefined) return;
        await (random.chance(0.5) ? this.#client.stopSandbox(sandbox) : this.#client.removeSandbox(sandbox));
        return;
      default:
        await (this.#removesImages && random.chance(0.5)
          ? this.#client.removeImage(random.pick(REFERENCES))
          : this.#client.pull(random.pick(REFERENCES)));
    }
  }

  /** Now and then a stop comes while it is under way, or when it hangs for longer than a stop waits. */
  async #start(id: ContainerId): Promise<void> {
    const isOvertaken = this.#rare.chance(0.4);
    const stop = async (): Promise<void> => {
      await this.#world.sleep(this.#rare.chance(0.5) ? this.#rare.int(4) : this.#rare.int(2 * STALL_MS));
      await this.#client.stop(id, this.#rare.int(300));
    };
    await Promise.all([this.#client.start(id), ...(isOvertaken ? [stop()] : [])]);
  }

  /** Now and then several wait for each other, and a stop comes with them. */
  async #update(id: ContainerId, shares: number): Promise<void> {
    const many = this.#rare.chance(0.5) ? 4 : 1;
    const updates = Array.from({ length: many }, (_none, n) =>
      this.#client.update(id, BigInt(2 + shares + n)),
    );
    const stop = async (): Promise<void> => {
      await this.#world.sleep(this.#rare.int(4));
      await this.#client.stop(id, this.#rare.int(300));
    };
    await Promise.all([...updates, ...(this.#rare.chance(0.2) ? [stop()] : [])]);
  }

  /** Now and then twice at once, the second in more of a hurry; within a longer grace with new limits. */
  async #stop(id: ContainerId, graceMs: number): Promise<void> {
    const isHurried = this.#rare.chance(0.3);
    const hurried = isHurried
      ? [this.#world.sleep(this.#rare.int(10)).then(() => this.#client.stop(id, this.#rare.int(graceMs + 1)))]
      : [];
    const shares = BigInt(2 + this.#calls);
    const resized = [10, 3]
      .filter(() => graceMs >= 100)
      .map((part) => this.#world.sleep(graceMs / part).then(() => this.#client.update(id, shares)));
    await Promise.all([this.#client.stop(id, graceMs), ...hurried, ...resized]);
  }

  /** Most are overtaken by another call while the container is frozen. */
  async #checkpointOne(chosen: ContainerId, archive: string): Promise<void> {
    const random = this.#rare;
    const running = this.#mine('containers').filter(isRunning);
    const id = running.length === 0 ? chosen : random.pick(running).id;
    const { stop, update, remove } = {
      stop: (graceMs: number) => this.#client.stop(id, graceMs),
      update: () => this.#client.update(id, BigInt(2 + this.#calls)),
      remove: () => this.#client.remove(id),
    };
    const overtaking = random.pick([
      [],
      [() => stop(random.int(300))],
      [() => stop(500), () => update(), () => stop(0)],
      [() => stop(500), () => stop(100), () => remove()],
      [() => update(), () => update()],
    ]);
    const others = overtaking.map((act) => this.#world.sleep(random.int(2)).then(act));
    await Promise.all([this.#checkpoints.checkpoint(id, archive), ...others]);
  }

  async #checkpoint(): Promise<void> {
    const random = this.#rare;
    const { listed: troupe, history } = this.#world;
    this.#calls += 1;
    const fresh = `chaos-${this.#calls}`;
    const sandbox = this.#some('sandboxes', random) as SandboxId | undefined;
    const container = this.#some('containers', random) as ContainerId | undefined;
    // few of those that were never written: a client that asks for one is refused
    const known = [...history.archives]
      .filter(
        ([path, { answer }]) => path.startsWith('/chaos/') && (answer === 'written' || random.chance(0.1)),
      )
      .map(([path]) => path);
    const containers = new Map(
      (sandbox === undefined ? [] : (troupe?.directory.containersOf(sandbox) ?? [])).map((view) => [
        view.spec.key.name,
        view.id,
      ]),
    );
    const from = random.chance(0.3)
      ? this.#checkpointImage()
      : known.length > 0
        ? { archive: random.pick(known) }
        : undefined;
    switch (random.int(7)) {
      case 0:
      case 1:
        if (container !== undefined) await this.#checkpointOne(container, `/chaos/${fresh}.tar`);
        return;
      case 2:
        if (sandbox !== undefined && containers.size > 0)
          await this.#checkpoints.checkpointPod(sandbox, `/chaos/${fresh}`, containers);
        return;
      case 3:
        if (known.length > 0) this.#checkpoints.forget(random.pick(known));
        return;
      case 4: {
        const key = { name: random.pick(NAMES), namespace: 'sim', uid: 'chaos', attempt: random.int(2) };
        if (known.length === 0) return;
        const archived = known.slice(0, 2).map((archive, at) => ({
          archive,
          specFor: (id: SandboxId, imageId: ImageId) =>
            containerSpec({ sandboxId: id, name: ['x', 'y'][at] ?? '', attempt: 0 }, SHAPE, imageId, fresh),
        }));
        await this.#checkpoints.restorePod(sandboxSpec(key, SHAPE, fresh), archived);
        return;
      }
      default: {
        if (from === undefined || sandbox === undefined) return void (await this.#client.pull(CHECKPOINT));
        const key = { sandboxId: sandbox, name: random.pick(['x', 'y']), attempt: random.int(2) };
        const id = await this.#checkpoints.createFrom(sandbox, from, (imageId) =>
          containerSpec(key, SHAPE, imageId, fresh),
        );
        if (random.chance(0.5)) await this.#client.start(id);
      }
    }
  }

  /**
   * The one layer of the image that is a checkpoint, while it is present; now and then it is removed at the same time.
   */
  #checkpointImage(): RestoreSource['from'] | undefined {
    const image = this.#world.listed?.findImage(CHECKPOINT);
    const [layer] = image?.layers ?? [];
    if (image === undefined || layer === undefined) return undefined;
    if (this.#removesImages && this.#rare.chance(0.5)) void this.#removeSoon(CHECKPOINT);
    return { image: image.id, layer: layer.diffId };
  }

  async #removeSoon(reference: string): Promise<void> {
    await this.#world.sleep(this.#rare.int(40));
    await this.#client.removeImage(reference).catch((thrown: unknown) => this.#judge(thrown));
  }

  async #create(sandboxId: SandboxId, fresh: string, sharedPid: boolean): Promise<void> {
    const imageId = this.#world.listed?.images()[0]?.id ?? (`sha256:${'0'.repeat(64)}` as ImageId);
    const key = { sandboxId, name: this.#random.pick(['x', 'y']), attempt: this.#random.int(2) };
    await this.#client.create(containerSpec(key, { sharedPid, hostNetwork: false }, imageId, fresh));
  }

  /** Its own pods, or their containers; it leaves those of others alone. */
  #mine(of: 'sandboxes'): readonly SandboxView[];
  #mine(of: 'containers'): readonly ContainerView[];
  #mine(of: 'sandboxes' | 'containers'): readonly (SandboxView | ContainerView)[];
  #mine(of: 'sandboxes' | 'containers'): readonly (SandboxView | ContainerView)[] {
    const directory = this.#world.listed?.directory;
    if (directory === undefined) return [];
    const pods = directory.sandboxes().filter((view) => view.spec.key.uid === 'chaos');
    return of === 'sandboxes' ? pods : pods.flatMap(({ id }) => directory.containersOf(id));
  }

  /** One of its own, more often one that is between two states. */
  #some(of: 'sandboxes' | 'containers', random = this.#random): string | undefined {
    const views = this.#mine(of);
    const moving = this.#rare.chance(0.3) ? views.filter(({ settled }) => !settled) : [];
    const among = moving.length > 0 ? moving : views;
    return among.length === 0 ? undefined : random.pick(among).id;
  }
}
