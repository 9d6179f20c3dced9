/** I10, F04: a recorded stop kills at the time that was recorded first, however often the daemon begins anew. */
import type { Ledger } from '../../src/actors/ledger/ledger.ts';
import { actorLimits } from '../../src/actors/bounds.ts';
import type { Broken } from './broken.ts';
import type { World } from './world.ts';

/** Virtual milliseconds from the end of the grace period to the end of the process, where nothing fails. */
const KILLED_WITHIN_MS = 5000;
/** The same where what hung, or failed and is tried again, holds it up. */
const HELD_UP_MS = actorLimits.removeRootfsMs + 3 * actorLimits.janitorMs;

/** Keeps the deadline of each stop: a later record may only bring it forward. */
export class Stops {
  readonly #world: World;
  readonly #dueMs = new Map<string, number>();

  constructor(world: World) {
    this.#world = world;
  }

  /** The first stop that is overdue. */
  check(ledger: Ledger): Broken | undefined {
    const { kernel, scheduler, servingSinceMs } = this.#world;
    for (const [id, { stopping }] of ledger.containers) {
      if (stopping?.killAtMonoMs === undefined) {
        // an older version recorded the wall clock alone, which may have been set since
        if (stopping !== undefined) this.#dueMs.delete(id);
        continue;
      }
      const dueMs = Math.min(this.#dueMs.get(id) ?? Infinity, stopping.killAtMonoMs);
      this.#dueMs.set(id, dueMs);
      if (scheduler.nowMs - Math.max(dueMs, servingSinceMs) <= this.#within()) continue;
      if (kernel.processOf('init', id) === undefined || kernel.isStuck(id)) continue;
      return {
        invariant: 'I10',
        detail: `container ${id} was to be killed ${Math.round(scheduler.nowMs - dueMs)} ms ago and runs`,
      };
    }
    return undefined;
  }

  /** Where timers were hurried, the bounds of effects that could have ended have run out. */
  #within(): number {
    const { outside, made, scheduler } = this.#world;
    const { error, hang, late, slowed } = outside.made;
    const inTheWay = error + hang + late + slowed + made.syncError + made.diskFull + scheduler.hurried;
    return inTheWay === 0 ? KILLED_WITHIN_MS : HELD_UP_MS;
  }
}
