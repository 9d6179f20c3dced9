/**
 * One run from its begin to an empty machine: clients work among faults, then the faults end, then everything must too.
 */
import { actorLimits } from '../../src/actors/bounds.ts';
import { randomStream } from './random.ts';
import { Chaos } from './chaos.ts';
import { Client } from './client.ts';
import { Invariants } from './invariants.ts';
import type { Broken } from './broken.ts';
import { KubeletGc } from './kubelet-gc.ts';
import { PodWorker } from './kubelet.ts';
import type { Manners, PodPlan } from './kubelet.ts';
import { CHECKPOINT, REFERENCES } from './storage-images-twins.ts';
import { setTraps } from './traps.ts';
import { World } from './world.ts';
import type { WorldOptions } from './world.ts';

export interface RunOptions extends WorldOptions {
  readonly pods: readonly PodPlan[];
  readonly manners?: Manners;
  /** Switches faults on, draws crashes; called before each step while the faults last. */
  readonly trouble?: (world: World) => void;
  /** Steps after which the faults end. */
  readonly troubleSteps?: number;
  readonly chaos?: boolean;
  /** Asked before each step of the trouble: whether the run ends here, as one without a failure. */
  readonly isOver?: () => boolean;
  /** Before all is removed, the world waits until the janitor has undone what nobody was handed. */
  readonly waitsForUnclaimed?: boolean;
  /** A kubelet collects garbage while the faults last. */
  readonly diskPressure?: boolean;
  /** Before all is removed, the network's garbage was collected, or was tried to be and is tried again. */
  readonly waitsForCollector?: boolean;
  /** False: no further pod after the end. */
  readonly fresh?: boolean;
}

export interface Failure extends Broken {
  readonly seed: number;
  readonly step: number;
  /** The last events before it. */
  readonly tail: readonly string[];
}

export interface RunResult {
  readonly failure: Failure | undefined;
  readonly steps: number;
  readonly virtualMs: number;
  readonly hash: number;
  readonly world: World;
}

/**
 * Steps after the end of the faults: some twenty times what a quiet run needs, and twice what those take in which calls
 * wait for a daemon that hangs in its recovery, each asking again every 50 ms (seeds 3586, 9418).
 */
const QUIET_STEPS = 240_000;
/**
 * Virtual milliseconds in which clients must be done once the faults are over: several of the longest bounds in a row.
 */
const DONE_WITHIN_MS = 20 * 60_000;
/**
 * Virtual milliseconds after which nothing may be left: the longest bounds of what still hangs, two minutes for the
 * unclaimed, some rounds of the janitor.
 */
const EMPTY_WITHIN_MS = 15 * 60_000;

/** Virtual milliseconds in which the janitor sees a container unclaimed long enough. */
const UNCLAIMED_MS = actorLimits.unclaimedMs + 4 * actorLimits.janitorMs;

/** Virtual milliseconds in which CNI GC fails once and is tried again. */
const COLLECTED_MS = actorLimits.networkGcPollMs + actorLimits.networkGcRetryMs + actorLimits.networkGcMs;

const POLITE: Manners = { duplicates: 0, deadlineMs: () => 240_000 };

/** Runs it; never throws for what the daemon does wrong. */
export async function run(options: RunOptions): Promise<RunResult> {
  const takeTraps = setTraps();
  const world = new World(options);
  const course = new Course(world, options);
  const unhandled: string[] = [];
  const onUnhandled = (reason: unknown): void => void unhandled.push(String(reason));
  process.on('unhandledRejection', onUnhandled);
  // nobody reads the stack of a fault that a twin makes, and taking it costs a tenth of a run
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  let broken: Broken | undefined;
  try {
    broken = await course.run();
  } finally {
    process.off('unhandledRejection', onUnhandled);
    Error.stackTraceLimit = stackTraceLimit;
  }
  const [trapped] = takeTraps();
  if (trapped !== undefined) broken ??= { invariant: 'traps', detail: trapped };
  if (unhandled[0] !== undefined)
    broken ??= { invariant: 'I18', detail: `unhandled rejection: ${unhandled[0]}` };
  const { steps, tail, nowMs, hash } = world.scheduler;
  const failure = broken === undefined ? undefined : { ...broken, seed: options.seed, step: steps, tail };
  return { failure, steps, virtualMs: nowMs, hash, world };
}

class Course {
  readonly #world: World;
  readonly #options: RunOptions;
  readonly #invariants: Invariants;
  readonly #workers: PodWorker[] = [];
  readonly #chaos: Chaos | undefined;
  readonly #gc: KubeletGc | undefined;

  constructor(world: World, options: RunOptions) {
    this.#world = world;
    this.#options = options;
    this.#invariants = new Invariants(world);
    const manners = options.manners ?? POLITE;
    for (const plan of options.pods) this.#begin(plan, manners);
    this.#chaos =
      options.chaos === true
        ? new Chaos(
            world,
            randomStream(options.seed, 'chaos'),
            randomStream(options.seed, 'rare chaos'),
            manners.deadlineMs,
          )
        : undefined;
    void this.#chaos?.work();
    this.#gc =
      options.diskPressure === true
        ? new KubeletGc(world, randomStream(options.seed, 'garbage'), manners.deadlineMs)
        : undefined;
    void this.#gc?.work();
  }

  #begin(plan: PodPlan, manners: Manners): PodWorker {
    const worker = new PodWorker(
      this.#world,
      plan,
      randomStream(this.#options.seed, `worker ${plan.name}`),
      manners,
    );
    this.#workers.push(worker);
    void worker.work();
    return worker;
  }

  async run(): Promise<Broken | undefined> {
    const { trouble, troubleSteps = 0 } = this.#options;
    for (let step = 0; step < troubleSteps; step += 1) {
      trouble?.(this.#world);
      if (this.#options.isOver?.() === true) return undefined;
      const broken = await this.#step();
      if (broken !== undefined) return broken;
      if (this.#chaos === undefined && this.#workers.every((worker) => worker.done)) break;
    }
    if (this.#options.isOver?.() === true) return undefined;
    return (await this.#quiet()) ?? (this.#options.fresh === false ? undefined : await this.#freshPod());
  }

  /** One step and the cheap rows. */
  async #step(): Promise<Broken | undefined> {
    if (!(await this.#world.scheduler.step()))
      return { invariant: 'I18', detail: 'nothing can happen any more' };
    return this.#invariants.check();
  }

  /** The faults are over: all clients end, all is removed, nothing is left. */
  async #quiet(): Promise<Broken | undefined> {
    const { outside, disk } = this.#world;
    outside.rates.error = 0;
    outside.rates.hang = 0;
    outside.targets = [];
    this.#world.onView = undefined;
    this.#world.quietSinceMs = this.#world.scheduler.nowMs;
    this.#world.scheduler.timerFirst = 0;
    this.#world.scheduler.fair = true;
    this.#world.diskErrorRate = 0;
    this.#world.hungDisk.end();
    this.#world.surroundings.calm();
    if (this.#gc !== undefined) this.#gc.over = true;
    disk.capacityBytes = Number.MAX_SAFE_INTEGER;
    if (this.#chaos !== undefined) this.#chaos.over = true;
    const { scheduler } = this.#world;
    const { waitsForUnclaimed, waitsForCollector } = this.#options;
    const patienceMs =
      waitsForCollector === true ? COLLECTED_MS : waitsForUnclaimed === true ? UNCLAIMED_MS : 0;
    const patientUntil = scheduler.nowMs + patienceMs;
    return (
      (await this.#until(() => scheduler.nowMs >= patientUntil, 2 * COLLECTED_MS, 'time has passed')) ??
      (await this.#until(
        () => this.#workers.every((worker) => worker.done),
        DONE_WITHIN_MS,
        'the pods are done',
      )) ??
      (await this.#until(this.#cleaner(), EMPTY_WITHIN_MS, 'the machine is empty'))
    );
  }

  /** I18: what went wrong before has no effect on what comes after. */
  async #freshPod(): Promise<Broken | undefined> {
    const [shape] = this.#options.pods;
    if (shape === undefined) return undefined;
    const fresh = this.#begin({ ...shape, name: 'fresh', runs: 1 }, POLITE);
    return (
      (await this.#until(() => fresh.done, DONE_WITHIN_MS, 'a fresh pod is done')) ??
      (await this.#until(this.#cleaner(), EMPTY_WITHIN_MS, 'the machine is empty'))
    );
  }

  /** A garbage collector: removes what is listed and all images, again and again; true when nothing is left. */
  #cleaner(): () => boolean {
    const world = this.#world;
    const client = new Client(world, POLITE.deadlineMs);
    let busy = false;
    const clean = async (): Promise<void> => {
      for (const { id, listed } of world.listed?.directory.sandboxes() ?? []) {
        if (!listed) continue;
        await client.removeSandbox(id);
      }
      if ((world.listed?.images().length ?? 0) === 0) return;
      for (const reference of [...REFERENCES, CHECKPOINT]) await client.removeImage(reference);
    };
    return () => {
      if (this.#invariants.checkEmpty() === undefined && !busy) return true;
      if (!busy && world.serving) {
        busy = true;
        clean()
          .catch((thrown: unknown) => world.history.note(`cleaner: ${String(thrown)}`))
          .then(() => world.sleep(1000))
          .then(
            () => (busy = false),
            () => undefined,
          );
      }
      return false;
    };
  }

  async #until(reached: () => boolean, withinMs: number, what: string): Promise<Broken | undefined> {
    const { scheduler, history } = this.#world;
    const begin = scheduler.nowMs;
    for (let step = 0; step < QUIET_STEPS; step += 1) {
      if (reached()) return undefined;
      const broken = await this.#step();
      if (broken !== undefined) return broken;
      if (scheduler.nowMs - begin > withinMs) break;
    }
    const why = this.#invariants.checkEmpty()?.detail ?? '';
    return { invariant: 'I18', detail: `not reached: ${what}; ${why}; last: ${history.notes.at(-1) ?? ''}` };
  }
}
