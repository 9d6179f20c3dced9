/**
 * Parts of the start that the daemon can do without. What a start needs is the lock, a readable journal and the CRI's
 * socket; whatever else fails or does not answer is a condition, and the daemon serves (docs/start.md).
 */
import type { ClockPort } from '../actors/ports/clock.ts';
import type { Conditions } from '../base/conditions.ts';
import { FaultError, fail, toFault } from '../base/fault.ts';
import { launchLimits } from '../base/limits.ts';
import { within } from '../oci/storage/within.ts';

export interface PartReport {
  readonly clock: ClockPort;
  readonly conditions: Pick<Conditions, 'report' | 'clear'>;
}

/**
 * What the work gives, or `without` when it fails or has not answered after `partMs`; then the part is reported under its
 * name. An error of our own configuration (`invalidRequest`) is thrown: the administrator must hear of it at once.
 */
export async function orWithout<T>({ clock, conditions }: PartReport, part: string, work: () => Promise<T>, without: T): Promise<T> {
  const bound = { signal: new AbortController().signal, timeoutMs: launchLimits.partMs };
  return unlessFailed(conditions, part, () => within(clock, bound, `start ${part}`, work), without);
}

/** The same for work that has bounds of its own. */
export async function unlessFailed<T>(conditions: PartReport['conditions'], part: string, work: () => Promise<T>, without: T): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof FaultError && thrown.fault.kind === 'invalidRequest') throw thrown;
    conditions.report({ type: 'PartsStarted', subject: part, reason: toFault(thrown).message });
    return without;
  }
}

/** The same for work without a result: where it is done after its bound, the part is no longer reported. */
export function orLater(report: PartReport, part: string, work: () => Promise<unknown>): Promise<void> {
  const done = async (): Promise<void> => {
    await work();
    report.conditions.clear('PartsStarted', part);
  };
  return orWithout(report, part, done, undefined);
}

export interface Closable {
  close(): Promise<void>;
}

/** A part that listens. One that comes after its bound is taken all the same, and closed with the others at the end. */
export class LatePart<T extends Closable> {
  readonly #report: PartReport;
  readonly #name: string;
  readonly #work: () => Promise<T | undefined>;
  #value: T | undefined;
  /** Under way; it may go on when nobody waits any longer. */
  #coming: Promise<void> | undefined;
  #isClosed = false;

  /** `work` gives undefined where the part is not configured. */
  constructor(report: PartReport, name: string, work: () => Promise<T | undefined>) {
    this.#report = report;
    this.#name = name;
    this.#work = work;
  }

  /** What there is by now. */
  get value(): T | undefined {
    return this.#value;
  }

  /** Settles within the bound; throws for an error of our own configuration only. */
  async start(): Promise<void> {
    await orWithout(this.#report, this.#name, () => this.#come(), undefined);
  }

  /** What there is, else one more try, or the rest of the one that is under way. Throws FaultError. */
  async startAgain(): Promise<T> {
    const bound = { signal: new AbortController().signal, timeoutMs: launchLimits.partMs };
    if (this.#value === undefined) await within(this.#report.clock, bound, `start ${this.#name}`, () => this.#come());
    return this.#value ?? fail('notReady', `start ${this.#name}: troupe is stopping`);
  }

  /** Closes it; what is still under way is closed when it comes. Repeatable. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#value?.close();
  }

  #come(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    this.#coming ??= this.#work()
      .then((value) => this.#arrived(value))
      .finally(() => {
        this.#coming = undefined;
      });
    return this.#coming;
  }

  async #arrived(value: T | undefined): Promise<void> {
    if (this.#isClosed) return value?.close();
    this.#value = value;
    this.#report.conditions.clear('PartsStarted', this.#name);
  }
}
