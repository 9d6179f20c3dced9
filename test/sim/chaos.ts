/** A client without manners: any call on anything it knows, in any order, with any deadline; it believes no answer. */
import type { ContainerId, ImageId, SandboxId } from '../../src/base/ids.ts';
import { Client, kindOf } from './client.ts';
import type { Random } from './random.ts';
import { containerSpec, sandboxSpec } from './specs.ts';
import { REFERENCES } from './storage-images-twins.ts';
import type { World } from './world.ts';

const NAMES = ['chaos-a', 'chaos-b'] as const;

export class Chaos {
  over = false;
  readonly #world: World;
  readonly #random: Random;
  readonly #client: Client;
  readonly #removesImages: boolean;
  /** Milliseconds between two calls at most: few, and nearly all overlap. */
  readonly #pauseMs: number;
  #calls = 0;

  constructor(world: World, random: Random, deadlineMs: () => number) {
    this.#world = world;
    this.#random = random;
    this.#client = new Client(world, deadlineMs);
    this.#removesImages = random.chance(0.5);
    this.#pauseMs = random.chance(0.4) ? 8 : 80;
  }

  async work(): Promise<void> {
    while (!this.over) {
      await this.#world.sleep(this.#random.int(this.#pauseMs));
      // not waited for: calls overlap
      if (this.#world.serving) void this.#one().catch((thrown: unknown) => this.#judge(thrown));
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
        if (container !== undefined) await this.#client.start(container);
        return;
      case 5:
        if (container !== undefined) await this.#client.stop(container, random.int(2) * random.int(300));
        return;
      case 6:
        if (container !== undefined) await this.#client.remove(container);
        return;
      case 7:
        if (container !== undefined) await this.#client.update(container, BigInt(2 + random.int(1000)));
        return;
      case 8:
        if (container !== undefined) await (random.chance(0.5) ? this.#client.exec(container) : this.#client.reopenLog(container));
        return;
      case 9:
        if (sandbox === undefined) return;
        await (random.chance(0.5) ? this.#client.stopSandbox(sandbox) : this.#client.removeSandbox(sandbox));
        return;
      default:
        await (this.#removesImages && random.chance(0.5) ? this.#client.removeImage(random.pick(REFERENCES)) : this.#client.pull(random.pick(REFERENCES)));
    }
  }

  async #create(sandboxId: SandboxId, fresh: string, sharedPid: boolean): Promise<void> {
    const imageId = this.#world.troupe?.images()[0]?.id ?? (`sha256:${'0'.repeat(64)}` as ImageId);
    const key = { sandboxId, name: this.#random.pick(['x', 'y']), attempt: this.#random.int(2) };
    await this.#client.create(containerSpec(key, { sharedPid, hostNetwork: false }, imageId, fresh));
  }

  /** One of its own pods' things; it leaves those of others alone. */
  #some(of: 'sandboxes' | 'containers'): string | undefined {
    const directory = this.#world.troupe?.directory;
    if (directory === undefined) return undefined;
    const mine = directory.sandboxes().filter((view) => view.spec.key.uid === 'chaos').map((view) => view.id);
    const ids: readonly string[] = of === 'sandboxes' ? mine : mine.flatMap((id) => directory.containersOf(id).map((view) => view.id));
    return ids.length === 0 ? undefined : this.#random.pick(ids);
  }
}
