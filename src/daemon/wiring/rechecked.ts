/**
 * Conditions whose cause ends outside the daemon: an administrator deletes what was renamed, a server answers again.
 * Each cause is checked every few minutes, independently of the others: a check on a dead disk holds one thread of the
 * pool and delays no other.
 */
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import type { ConditionType, Conditions, Degradation } from '../../base/conditions.ts';
import { toFault } from '../../base/fault.ts';
import { actorLimits } from '../../actors/bounds.ts';
import { isThere } from '../../host/files/is-there.ts';

/** Resolves to the present reason, or undefined when the cause has ended. A rejection is a reason, too. */
export type Recheck = () => Promise<string | undefined>;

/** For a renamed file: reported until it is deleted. */
export function whileThere({ subject, reason }: Degradation): Recheck {
  return async () => ((await isThere(subject)) ? reason : undefined);
}

interface Held {
  readonly degradation: Degradation;
  readonly check: Recheck;
  isUnderWay: boolean;
}

export class Rechecked {
  readonly #clock: ClockPort;
  readonly #conditions: Pick<Conditions, 'report' | 'clear'>;
  readonly #held = new Map<string, Held>();
  readonly #listeners = new Set<(gone: Degradation) => void>();
  #timer: TimerHandle | undefined;
  #isClosed = false;

  constructor(clock: ClockPort, conditions: Pick<Conditions, 'report' | 'clear'>) {
    this.#clock = clock;
    this.#conditions = conditions;
  }

  /** Reports the degradation now, and updates or clears it by what `check` finds. */
  report(degradation: Degradation, check: Recheck): void {
    this.#conditions.report(degradation);
    this.#held.set(keyOf(degradation.type, degradation.subject), { degradation, check, isUnderWay: false });
    this.#arm();
  }

  /** Whether it was reported and has not ended. */
  has({ type, subject }: Pick<Degradation, 'type' | 'subject'>): boolean {
    return this.#held.has(keyOf(type, subject));
  }

  /** Calls `listener` with each degradation that has ended, after `has` has become false for it. */
  onGone(listener: (gone: Degradation) => void): void {
    this.#listeners.add(listener);
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
  }

  #arm(): void {
    if (this.#isClosed || this.#timer !== undefined || this.#held.size === 0) return;
    this.#timer = this.#clock.setTimeout(() => {
      this.#timer = undefined;
      for (const [key, held] of this.#held) if (!held.isUnderWay) void this.#check(key, held);
      this.#arm();
    }, actorLimits.debrisMs);
  }

  async #check(key: string, held: Held): Promise<void> {
    const { degradation, check } = held;
    held.isUnderWay = true;
    const reason = await check().catch((thrown: unknown) => toFault(thrown).message);
    held.isUnderWay = false;
    if (this.#isClosed || this.#held.get(key) !== held) return;
    if (reason !== undefined) return this.#conditions.report({ ...degradation, reason });
    this.#held.delete(key);
    this.#conditions.clear(degradation.type, degradation.subject);
    for (const listener of this.#listeners) listener(degradation);
  }
}

function keyOf(type: ConditionType, subject: string): string {
  return `${type} ${subject}`;
}
