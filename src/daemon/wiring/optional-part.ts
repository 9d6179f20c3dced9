/**
 * Optional parts of the start. A start needs the lock, a readable journal and the CRI's socket; if another part fails
 * or does not answer, that is a condition, and the daemon serves (docs/start.md).
 *
 * `orWithout` is for parts that are needed now or never, `LatePart` for parts that are useful whenever they come. With
 * either, an error in our own configuration (`invalidRequest`) ends the start, so that the administrator sees it at
 * once.
 */
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import type { Conditions } from '../../base/conditions.ts';
import { FaultError, fail, toFault } from '../../base/fault.ts';
import { launchLimits } from '../bounds.ts';
import { withDeadline } from '../../host/clock/deadline.ts';

export interface PartReport {
  readonly clock: ClockPort;
  readonly conditions: Pick<Conditions, 'report' | 'clear'>;
}

/**
 * The result of the work, or `without` if it fails or takes longer than `timeoutMs`; the part is then reported for as
 * long as the daemon runs. `Infinity` is for work with bounds of its own.
 */
export async function orWithout<T>(
  report: PartReport,
  part: string,
  work: () => Promise<T>,
  without: T,
  timeoutMs: number = launchLimits.partMs,
): Promise<T> {
  const bounded = (): Promise<T> =>
    withDeadline(report.clock, { signal: new AbortController().signal, timeoutMs }, `start ${part}`, work);
  try {
    return await (timeoutMs === Infinity ? work() : bounded());
  } catch (thrown) {
    if (isOurConfiguration(thrown)) throw thrown;
    report.conditions.report({ type: 'PartsStarted', subject: part, reason: toFault(thrown).message });
    return without;
  }
}

export interface LatePartOptions {
  /** ms between two attempts until one succeeds; without it `start` makes only one. */
  readonly againMs?: number;
  /**
   * ms after which an attempt is reported as failed, for work with longer bounds of its own. `start` still waits for at
   * most `partMs`.
   */
  readonly reportedMs?: number;
}

/** A part whose result is used whenever it comes; the part is reported until then. */
export class LatePart<T> {
  readonly #report: PartReport;
  readonly #name: string;
  readonly #work: () => Promise<T>;
  readonly #againMs: number | undefined;
  readonly #reportedMs: number;
  #arrived: { readonly value: T } | undefined;
  /** The attempt under way; it may go on when no caller waits any longer. */
  #coming: Promise<void> | undefined;
  #timer: TimerHandle | undefined;
  #isClosed = false;

  constructor(
    report: PartReport,
    name: string,
    work: () => Promise<T>,
    { againMs, reportedMs = launchLimits.partMs }: LatePartOptions = {},
  ) {
    const { clock, conditions } = report;
    this.#report = {
      clock,
      conditions: {
        // an attempt that fails after the end says nothing of the part that took its place
        report: (degradation) => {
          if (!this.#isClosed) conditions.report(degradation);
        },
        clear: (type, subject) => conditions.clear(type, subject),
      },
    };
    this.#name = name;
    this.#work = work;
    this.#againMs = againMs;
    this.#reportedMs = reportedMs;
  }

  /** The result, if it has come. */
  get value(): T | undefined {
    return this.#arrived?.value;
  }

  /** Settles within `partMs`; throws only for an error in our own configuration. */
  async start(): Promise<void> {
    const trying = this.#try();
    if (this.#reportedMs <= launchLimits.partMs) return trying;
    const { clock } = this.#report;
    const waited = Promise.withResolvers<void>();
    let isOver = false;
    const timer = clock.setTimeout(() => {
      isOver = true;
      waited.resolve();
    }, launchLimits.partMs);
    const settled = trying
      .finally(() => clock.clearTimeout(timer))
      .catch((thrown: unknown) => {
        if (!isOver) throw thrown;
        this.#refused(thrown);
      });
    await Promise.race([settled, waited.promise]);
  }

  async #try(): Promise<void> {
    await orWithout(this.#report, this.#name, () => this.#come(), undefined, this.#reportedMs);
    if (this.#arrived === undefined && !this.#isClosed && this.#againMs !== undefined) {
      this.#timer = this.#report.clock.setTimeout(
        () => void this.start().catch((thrown: unknown) => this.#refused(thrown)),
        this.#againMs,
      );
    }
  }

  /** The result; if it has not come, waits for the attempt under way or makes one more. Throws FaultError. */
  async now(): Promise<T> {
    const bound = { signal: new AbortController().signal, timeoutMs: launchLimits.partMs };
    if (this.#arrived === undefined)
      await withDeadline(this.#report.clock, bound, `start ${this.#name}`, () => this.#come());
    return (this.#arrived ?? fail('notReady', `start ${this.#name}: troupe is stopping`)).value;
  }

  /** Closes the result; one that is still under way is closed when it comes. Repeatable. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#timer !== undefined) this.#report.clock.clearTimeout(this.#timer);
    if (this.#arrived !== undefined) await closed(this.#arrived.value);
  }

  #come(): Promise<void> {
    if (this.#isClosed || this.#arrived !== undefined) return Promise.resolve();
    this.#coming ??= this.#work()
      .then((value) => this.#take(value))
      .finally(() => {
        this.#coming = undefined;
      });
    return this.#coming;
  }

  async #take(value: T): Promise<void> {
    if (this.#isClosed) return closed(value);
    this.#arrived = { value };
    this.#report.conditions.clear('PartsStarted', this.#name);
  }

  /** No caller waits for a later attempt, so an error that would have ended the start is reported, too. */
  #refused(thrown: unknown): void {
    this.#report.conditions.report({
      type: 'PartsStarted',
      subject: this.#name,
      reason: toFault(thrown).message,
    });
  }
}

/** A late part without a result, attempted once. */
export function orLater(report: PartReport, part: string, work: () => Promise<void>): Promise<void> {
  return new LatePart(report, part, work).start();
}

function isOurConfiguration(thrown: unknown): boolean {
  return thrown instanceof FaultError && thrown.fault.kind === 'invalidRequest';
}

async function closed(value: unknown): Promise<void> {
  if (isClosable(value)) await value.close();
}

function isClosable(value: unknown): value is { close(): Promise<void> } {
  return typeof value === 'object' && value !== null && 'close' in value && typeof value.close === 'function';
}
