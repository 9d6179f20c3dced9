/**
 * A hash of all that the future of a world follows from, as far as it can be read: two worlds of one hash are taken for
 * the same. Times, pids and names of files do not count; ids count by what they name. What a client has seen counts by
 * the answers that it got, not by where in its own code it stands.
 */
import type { AnyActorRef } from 'xstate';
import { hashText } from './random.ts';
import type { World } from './world.ts';

/** Fields that differ from run to run, and those that only repeat others. */
const DROPPED = /(?:Ns|Ms)$|^(?:pid|startTicks|bootId|identity|init|address|tie|opId|requestId)$/u;
const IDS = /[0-9a-f]{16,64}/gu;

export class StateHash {
  readonly #world: World;
  /** What each id names. */
  readonly #names = new Map<string, string>();

  constructor(world: World) {
    this.#world = world;
  }

  /** Of what outlives the daemon: disks, kernel, clients. */
  outside(): string {
    return keyOf(this.#outside());
  }

  /** Of everything, with the actors, the effects in progress and all that can happen next. */
  whole(): string {
    const { troupe, scheduler } = this.#world;
    const actors = [...(troupe?.directory.sandboxes() ?? []), ...(troupe?.directory.containers() ?? [])].map(
      ({ address }) => snapshotOf(troupe?.directory.ref(address)),
    );
    const effects = (troupe?.activity.all() ?? []).map(({ effect }) => effect);
    const next = [scheduler.labels(), scheduler.dueInMs()];
    return keyOf(
      `${this.#outside()}|${this.#text([
        actors,
        effects,
        troupe?.notReadyReason() ?? (troupe === undefined ? 'down' : 'serves'),
        (troupe?.directory.pulls() ?? []).map(({ path }) => path),
        next,
      ])}`,
    );
  }

  #outside(): string {
    const { kernel, disk, history, ledger } = this.#world;
    this.#learn();
    const { checkpoints } = kernel;
    return this.#text([
      [kernel.files, kernel.cgroups, kernel.pins, kernel.kept, [...kernel.leases.values()].toSorted()],
      [...kernel.processes.values()].map(({ kind, owner }) => `${kind} ${this.#named(owner)}`).toSorted(),
      [kernel.bundles, kernel.runtimeStates, kernel.limits, kernel.exitFiles, kernel.pauseBundles],
      [kernel.rootfs, kernel.layers, kernel.partials, kernel.ingests, kernel.broken, kernel.trueExits],
      [checkpoints.works, checkpoints.restores, checkpoints.archives],
      disk.shape(),
      ledger,
      [history.sandboxes, history.containers, history.started, history.stopped, history.stoppedSandboxes],
      this.#world.calling(),
      [history.limits, history.removed, history.images, history.removedImages, history.archives],
    ]);
  }

  /** Remembers ids by the names that their records have. */
  #learn(): void {
    const { ledger } = this.#world;
    if (ledger === undefined) return;
    for (const [id, { intent }] of ledger.sandboxes)
      if (!this.#names.has(id))
        this.#names.set(id, `sandbox ${intent.spec.key.name} ${intent.spec.key.attempt}`);
    for (const [id, { intent }] of ledger.containers) {
      const { sandboxId, name, attempt } = intent.spec.key;
      if (!this.#names.has(id))
        this.#names.set(id, `container ${name} ${attempt} of ${this.#named(sandboxId)}`);
    }
  }

  #named(text: string): string {
    return text.replace(IDS, (id) => this.#names.get(id) ?? id);
  }

  #text(value: unknown): string {
    if (typeof value === 'string') return this.#named(value);
    if (value === null || typeof value !== 'object') return typeof value === 'function' ? '' : String(value);
    if (value instanceof Map)
      return `{${[...value]
        .map(([key, one]) => `${this.#text(key)}:${this.#text(one)}`)
        .toSorted()
        .join()}}`;
    if (value instanceof Set)
      return `{${[...value]
        .map((one) => this.#text(one))
        .toSorted()
        .join()}}`;
    if (Array.isArray(value)) return `[${value.map((one) => this.#text(one)).join()}]`;
    return `{${Object.entries(value)
      .filter(([key]) => !DROPPED.test(key))
      .map(([key, one]) => `${key}:${this.#text(one)}`)
      .join()}}`;
  }
}

function snapshotOf(ref: AnyActorRef | undefined): unknown {
  const snapshot = ref?.getSnapshot() as { value?: unknown; context?: object } | undefined;
  return [JSON.stringify(snapshot?.value), snapshot?.context];
}

/** 64 bits of two hashes with different begins. */
function keyOf(text: string): string {
  return `${hashText(text).toString(36)}.${hashText(text, 0x9e3779b9).toString(36)}`;
}
