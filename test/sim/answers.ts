/**
 * I10: each call of a client is answered by its deadline, whatever hangs, and an answer that comes for want of time
 * names what the work waits on. F91: what needs no record is answered while the disk below the journal hangs, and a
 * stop ends the process in its grace period.
 */
import { actorLimits } from '../../src/actors/bounds.ts';
import type { Troupe } from '../../src/actors/troupe.ts';
import type { Fault } from '../../src/base/fault.ts';
import { isEnding } from '../../src/actors/directory/phases.ts';
import type { Broken } from './broken.ts';
import type { HungDisk } from './hung-disk.ts';
import type { Kernel } from './kernel.ts';
import type { Outside } from './outside.ts';
import type { Scheduler } from './scheduler.ts';

/** Virtual milliseconds by which a timer may be late: others are due before it. */
const SLACK_MS = 1000;
/**
 * Virtual milliseconds beyond the grace period: every wait of a stop in a row (a start that is given up, a checkpoint
 * that thaws, late records of a start, an update and the stop itself), then a second KILL.
 */
const STOP_MS =
  actorLimits.startGivenUpMs +
  actorLimits.checkpointThawMs +
  3 * actorLimits.stopRecordMs +
  2 * actorLimits.killAgainMs;

/**
 * Calls whose driver gets the deadline as its own bound, and answers once it has ended what it began: the actors give
 * it up only after its grace period.
 */
export const BY_DRIVER: ReadonlySet<string> = new Set(['ExecSync', 'CheckpointContainer', 'CheckpointPod']);

/** What of the world it reads. */
interface Scene {
  readonly scheduler: Scheduler;
  readonly kernel: Kernel;
  readonly outside: Outside;
  readonly hungDisk: HungDisk;
  readonly troupe: Troupe | undefined;
  /** Infinity while no daemon serves. */
  readonly servingSinceMs: number;
}

interface Open {
  readonly operation: string;
  readonly byMs: number;
  readonly epoch: number;
  /** Steps of the scheduler before it. */
  readonly step: number;
}

interface Stop {
  readonly id: string;
  readonly byMs: number;
  readonly epoch: number;
}

export class Answers {
  readonly #world: Scene;
  readonly #open = new Set<Open>();
  readonly #stops = new Set<Stop>();
  /** How often each kind of promise was seen to be kept while the disk hung. */
  readonly kept = { answeredHung: 0, stoppedHung: 0, execHung: 0 };
  #wrong: string | undefined;

  constructor(world: Scene) {
    this.#world = world;
  }

  /**
   * A call begins; the returned function takes its answer, or its loss. A restored pod that fails is removed before the
   * answer, however long that takes.
   */
  begin(operation: string, deadlineMs: number): (why?: Fault) => void {
    if (operation === 'RestorePod') return () => undefined;
    const { scheduler, hungDisk } = this.#world;
    const graceMs = SLACK_MS + (BY_DRIVER.has(operation) ? actorLimits.driverGraceMs : 0);
    const { epoch, steps: step } = scheduler;
    const open = { operation, byMs: scheduler.nowMs + deadlineMs + graceMs, epoch, step };
    this.#open.add(open);
    return (why) => {
      if (!this.#open.delete(open) || open.epoch !== scheduler.epoch) return;
      // one that was made between two steps is answered within the next, whose first act is to pick what happens
      if (scheduler.nowMs > open.byMs && scheduler.steps > open.step + 1) this.#late(open);
      if (hungDisk.hangs) this.kept.answeredHung += 1;
      if (
        why?.kind === 'timedOut' &&
        why.message.includes('deadline passed') &&
        !/waiting on \S/u.test(why.message)
      )
        this.#wrong ??= `${operation} ran out of time and does not name what it waits on: ${why.message}`;
    };
  }

  /** A drain begins: it is bounded, also while the disk hangs. */
  drains(): () => void {
    return this.begin('drain', actorLimits.drainMs + actorLimits.driverGraceMs);
  }

  /** A container is to end within its grace period. */
  stops(id: string, graceMs: number): void {
    const { scheduler } = this.#world;
    this.#stops.add({ id, byMs: scheduler.nowMs + graceMs + STOP_MS, epoch: scheduler.epoch });
  }

  /** A command was run in a container while the disk hung. */
  execAnswered(id: string, tookMs: number): void {
    const { troupe, kernel } = this.#world;
    const view = troupe?.directory.container(id as never);
    const lives = view !== undefined && !isEnding(view) && kernel.processOf('init', id) !== undefined;
    this.kept.execHung += 1;
    if (lives && tookMs > 1000 + actorLimits.driverGraceMs + SLACK_MS)
      this.#wrong ??= `ExecSync in ${id} took ${Math.round(tookMs)} ms while the disk hung`;
  }

  /** The first promise that is broken. */
  check(): Broken | undefined {
    const { scheduler } = this.#world;
    for (const open of this.#open) {
      if (open.epoch !== scheduler.epoch) this.#open.delete(open);
      else if (scheduler.nowMs > open.byMs) this.#late(open);
    }
    this.#checkStops();
    return this.#wrong === undefined ? undefined : { invariant: 'I10', detail: this.#wrong };
  }

  #late({ operation, byMs }: Open): void {
    const lateMs = Math.round(this.#world.scheduler.nowMs - byMs);
    this.#wrong ??= `${operation} has had no answer ${lateMs} ms after its last moment`;
  }

  /** Only where nothing but the disk makes trouble: a kill that fails or hangs is tried again much later. */
  #checkStops(): void {
    const { scheduler, kernel, outside, hungDisk, servingSinceMs } = this.#world;
    for (const stop of this.#stops) {
      const isOver =
        stop.epoch !== scheduler.epoch ||
        kernel.processOf('init', stop.id) === undefined ||
        kernel.isStuck(stop.id);
      if (isOver && hungDisk.hangs) this.kept.stoppedHung += 1;
      const { error, hang, slowed } = outside.made;
      if (isOver || error + hang + slowed + scheduler.hurried > 0) this.#stops.delete(stop);
      // one that takes over reads the journal before it serves, and waits for a disk that hangs then (seed 338445)
      else if (scheduler.nowMs > Math.max(stop.byMs, servingSinceMs + STOP_MS))
        this.#wrong ??= `container ${stop.id} runs ${Math.round(scheduler.nowMs - stop.byMs)} ms after its stop had to end it`;
    }
  }
}
