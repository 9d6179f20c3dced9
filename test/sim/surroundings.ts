/**
 * What administrators, other daemons and clients of the kernel change around the daemon while it runs. It outlives
 * the daemon; the twins read it.
 */
import type { NriNode } from '../../src/ports/nri.ts';
import type { History } from './history.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

/** Most milliseconds for which a mount or a cgroup is busy. */
const BUSY_MS = 20_000;

export class Surroundings {
  /** The signature policy refuses every image. */
  refusesImages = false;
  /** Counts the changes of the policy: pulls under different ones are not joined. */
  policyVersion = 0;
  /** Nobody answers where images and signatures are. */
  isRegistryAway = false;
  /** No conflist is there. */
  hasNoNetwork = false;
  /** The handler that the empty name stands for, and one that a reload has removed. */
  defaultHandler: 'runc' | 'crun' = 'runc';
  removedHandler: string | undefined;
  /** A plugin of NRI is connected. */
  hasPlugin = true;
  /** The node as a connected plugin sees it. */
  node: NriNode | undefined;
  /** CNI GC fails so often. */
  collectFailures = 0;
  readonly made = {
    policyChanged: 0,
    imageRefused: 0,
    registryAway: 0,
    networkGone: 0,
    networkRefused: 0,
    reloaded: 0,
    handlerRefused: 0,
    pluginLeft: 0,
    pluginUpdated: 0,
    pluginEvicted: 0,
    busy: 0,
    busyRefused: 0,
  };
  readonly #busyUntil = new Map<string, number>();
  readonly #scheduler: Scheduler;
  readonly #history: History;

  constructor(scheduler: Scheduler, history: History) {
    this.#scheduler = scheduler;
    this.#history = history;
  }

  changePolicy(refuses: boolean): void {
    if (refuses === this.refusesImages) return;
    this.refusesImages = refuses;
    this.policyVersion += 1;
    this.made.policyChanged += 1;
  }

  changeRegistry(isAway: boolean): void {
    if (isAway && !this.isRegistryAway) this.made.registryAway += 1;
    this.isRegistryAway = isAway;
  }

  changeNetwork(isGone: boolean): void {
    if (isGone && !this.hasNoNetwork) this.made.networkGone += 1;
    this.hasNoNetwork = isGone;
  }

  /** A reload of the configuration (SIGHUP): another default handler, one handler less. */
  reload(dice: Random): void {
    this.made.reloaded += 1;
    this.defaultHandler = dice.pick(['runc', 'crun']);
    this.removedHandler = dice.chance(0.3) ? undefined : dice.pick(['crun', 'vm']);
    if (this.removedHandler === this.defaultHandler) this.removedHandler = undefined;
  }

  knowsHandler(name: string): boolean {
    const isKnown = ['', 'runc', 'crun', 'vm'].includes(name) && name !== this.removedHandler;
    if (!isKnown) this.made.handlerRefused += 1;
    return isKnown;
  }

  /** Another process has a file open below a mount of this owner, or sits in its cgroup. */
  makeBusy(owner: string, dice: Random): void {
    this.made.busy += 1;
    this.#busyUntil.set(owner, this.#scheduler.nowMs + dice.int(BUSY_MS));
  }

  isBusy(owner: string): boolean {
    const is = this.#scheduler.nowMs < (this.#busyUntil.get(owner) ?? 0);
    if (is) this.made.busyRefused += 1;
    return is;
  }

  /** The plugin dies, or another one connects and reads what the node has. */
  changePlugin(): void {
    if (this.node === undefined) return;
    this.hasPlugin = !this.hasPlugin;
    if (!this.hasPlugin) this.made.pluginLeft += 1;
    else for (const { id } of this.node?.containers() ?? []) this.node?.pod(id as never);
  }

  /** The plugin updates or evicts a container that nobody asked it about. */
  async pluginActs(dice: Random): Promise<void> {
    const containers = this.node?.containers() ?? [];
    if (!this.hasPlugin || this.node === undefined || containers.length === 0) return;
    const { id, spec } = dice.pick(containers);
    const { signal } = new AbortController();
    const shares = BigInt(2 + dice.int(1000));
    const update = this.#history.update(id, shares);
    try {
      if (dice.chance(0.2)) {
        this.made.pluginEvicted += 1;
        await this.node.evict(id, 'made to', signal);
      } else {
        this.made.pluginUpdated += 1;
        await this.node.update(id, { ...spec.resources, cpuShares: shares }, signal);
      }
    } catch (thrown) {
      this.#history.note(`plugin: ${String(thrown)}`);
    } finally {
      update.ended();
    }
  }

  /** Everything is as it should be. */
  calm(): void {
    this.changePolicy(false);
    this.isRegistryAway = false;
    this.hasNoNetwork = false;
    this.removedHandler = undefined;
    this.#busyUntil.clear();
  }
}
