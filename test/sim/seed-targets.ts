/** What some seeds aim at, since an even draw comes to some (state, event) pairs in one seed of thousands only. */
import { CheckpointClient } from './client-checkpoints.ts';
import { Client } from './client.ts';
import type { PodPlan } from './kubelet.ts';
import type { Target } from './outside.ts';
import type { Random } from './random.ts';
import type { World } from './world.ts';

/** Longer than each bound that a stop waits for. */
const SLOW_MS = 20_000;
const SLOW_DISK: Target = { prefix: 'disk.sync', error: 0, slowMs: SLOW_MS };
/** Of stops: such that a slow call ends within them, or not. */
const GRACES_MS = [0, 300, 30_000] as const;

/** One or two kinds of call are slow or fail, and pods and clients are such that it matters. */
export interface Aim {
  readonly targets: readonly Target[];
  readonly pod?: Partial<PodPlan>;
  readonly hasPlugins?: boolean;
  /** Least chance that a sync of the disk fails. */
  readonly diskError?: number;
  readonly isStubborn?: boolean;
  /** Of the seeker's view of an actor: the state from which on these targets count in place of the others. */
  readonly from?: { readonly path: string; readonly targets: readonly Target[] };
}

const AIMS: readonly Aim[] = [
  // starts that a stop overtakes, in each of their steps
  { targets: [{ prefix: 'nri.', error: 0, slowMs: SLOW_MS }], hasPlugins: true },
  { targets: [{ prefix: 'criu.restore', error: 0, slowMs: SLOW_MS }], pod: { checkpoints: 'image' } },
  { targets: [{ prefix: 'runtime.start', error: 0, slowMs: SLOW_MS }] },
  // a stop that waits for the thaw
  { targets: [{ prefix: 'criu.thaw', error: 0, slowMs: SLOW_MS }] },
  // updates that fail, whose records then fail as well, also within the grace of a stop
  {
    targets: [{ prefix: 'runtime.update', error: 0.5, slowMs: 0 }],
    pod: { resizes: true, graceMs: 30_000, teardown: 'tidy' },
    diskError: 0.15,
    isStubborn: true,
  },
  // records that are late, and those that are refused and tried again
  { targets: [SLOW_DISK], pod: { resizes: true, graceMs: 500 } },
  { targets: [{ prefix: 'disk.sync', error: 0, slowMs: 1000 }], diskError: 0.3 },
  // two faults, one after the other: the record of a reverted update is late when a stop comes, and a stop whose record
  // is late fails
  {
    targets: [{ prefix: 'runtime.update', error: 0.5, slowMs: 0 }],
    pod: { resizes: true, graceMs: 30_000, teardown: 'tidy' },
    from: { path: 'updating.closing', targets: [SLOW_DISK] },
    isStubborn: true,
  },
  {
    targets: [],
    from: { path: 'stopping.leaving', targets: [SLOW_DISK] },
    pod: { teardown: 'sandboxOnly' },
    diskError: 0.3,
    isStubborn: true,
  },
];

/** What a fifth of the seeds aim at. */
export function drawAim(random: Random): Aim | undefined {
  return random.chance(0.2) ? random.pick(AIMS) : undefined;
}

/** Somebody acts at once on what is in a state that is left within a few steps. */
export class Seeker {
  readonly #world: World;
  readonly #random: Random;
  readonly #client: Client;
  readonly #checkpoints: CheckpointClient;
  #archives = 0;

  constructor(world: World, random: Random) {
    this.#world = world;
    this.#random = random;
    this.#client = new Client(world, () => 240_000);
    this.#checkpoints = new CheckpointClient(world, () => 240_000);
  }

  work(from: Aim['from']): void {
    this.#world.onView = (view) => {
      if (from !== undefined && view.path === from.path) this.#world.outside.targets = from.targets;
      if (from !== undefined && view.path !== from.path) return;
      if (view.kind !== 'container' || !this.#random.chance(0.6)) return;
      const act = this.#actOn(view.path, view.id);
      if (act === undefined) return;
      // another step: a view changes within the actor's own
      void this.#world
        .sleep(this.#random.int(3))
        .then(act)
        .catch((thrown: unknown) => this.#world.history.note(`seeker: ${String(thrown)}`));
    };
  }

  #actOn(path: string, id: Parameters<Client['stop']>[0]): (() => Promise<void> | void) | undefined {
    const random = this.#random;
    const client = this.#client;
    const stop = (): Promise<void> => client.stop(id, random.pick(GRACES_MS));
    const remove = (): Promise<void> => client.remove(id);
    if (path === 'recordingExit') return remove;
    if (path.startsWith('starting.') || path.startsWith('updating.')) return random.pick([stop, remove]);
    if (path === 'thawing')
      return random.pick([
        stop,
        remove,
        () => client.update(id, BigInt(2 + random.int(1000))),
        // held still, or just thawed: the end comes with the thaw
        () => this.#world.kernel.endInit(id, 137),
      ]);
    if (path !== 'running') return undefined;
    this.#archives += 1;
    const archive = `/seeker/${this.#archives}.tar`;
    return async () => {
      const overtaking = this.#world.sleep(random.int(8)).then(stop);
      await Promise.all([this.#checkpoints.checkpoint(id, archive), overtaking]);
    };
  }
}
