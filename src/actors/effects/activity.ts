/**
 * Who waits on what, now. Every effect of every actor runs through here, so that
 * a DeadlineExceeded can name the thing waited on, and so that the effects of a
 * crashed actor can be ended before it is rebuilt.
 */
import { fail, fault, FaultError, toFault } from '../../base/fault.ts';
import { actorLimits } from '../bounds.ts';
import type { Cause } from '../../base/cause.ts';
import type { Fault } from '../../base/fault.ts';
import type { ClockPort } from '../../ports/clock.ts';
import type { EffectContext, Waiting } from '../../ports/effect.ts';

/** One effect under way. */
export interface Running {
  readonly effect: string;
  readonly sinceMonoMs: number;
  readonly deadlineMonoMs: number;
  readonly waiting: Waiting | undefined;
}

/** One effect that has ended, for metrics and traces. */
export interface EffectEnd {
  readonly owner: string;
  readonly effect: string;
  readonly sinceMonoMs: number;
  readonly endMonoMs: number;
  readonly outcome: 'ok' | 'failed' | 'timedOut' | 'cancelled';
  readonly fault: Fault | undefined;
}

/** Looks on; must not throw. */
export interface ActivityObserver {
  /** A call waits on this actor: what the actor does until it settles, it does for it. */
  asked(owner: string, cause: Cause): void;
  /** The call waits no longer; an actor that is not settled goes on with what it was asked for. */
  answered(owner: string, cause: Cause, isSettled: boolean): void;
  ended(end: EffectEnd): void;
}

interface Entry {
  effect: string;
  sinceMonoMs: number;
  deadlineMonoMs: number;
  waiting: Waiting | undefined;
  abort: (reason: unknown) => void;
  settled: Promise<void>;
}

export class Activity {
  readonly #clock: ClockPort;
  readonly #byOwner = new Map<string, Set<Entry>>();
  #observer: ActivityObserver | undefined;

  constructor(clock: ClockPort) {
    this.#clock = clock;
  }

  /** There is one observer, for metrics and traces. */
  observe(observer: ActivityObserver): void {
    this.#observer = observer;
  }

  /** Told by `ask`. */
  asked(owner: string, cause: Cause): void {
    this.#observer?.asked(owner, cause);
  }

  /** Told by `ask`. */
  answered(owner: string, cause: Cause, isSettled: boolean): void {
    this.#observer?.answered(owner, cause, isSettled);
  }

  /** Effects of all actors that are under way. */
  all(): readonly Running[] {
    return [...this.#byOwner.values()].flatMap((entries) => [...entries]);
  }

  /** Effects of this actor that are under way, oldest first. */
  of(owner: string): readonly Running[] {
    return [...(this.#byOwner.get(owner) ?? [])];
  }

  /** Whether an effect of this actor is under way. */
  isBusy(owner: string): boolean {
    return this.#byOwner.has(owner);
  }

  /** One line for people: what the actor waits on and for how long. Empty when it waits on nothing. */
  describe(owner: string): string {
    const now = this.#clock.monoMs();
    return this.of(owner)
      .map((entry) => {
        const seconds = ((now - entry.sinceMonoMs) / 1000).toFixed(1);
        const pid = entry.waiting?.pid === undefined ? '' : ` (pid ${entry.waiting.pid})`;
        return `${entry.waiting?.on ?? entry.effect}${pid} for ${seconds} s`;
      })
      .join(', ');
  }

  /**
   * Tells the drivers that the results of this actor's effects are not wanted any more. They reject soon, or end as
   * they would have; the actor hears of either.
   */
  abort(owner: string, reason: string): void {
    for (const entry of [...(this.#byOwner.get(owner) ?? [])])
      entry.abort(new FaultError(fault('cancelled', reason)));
  }

  /** Aborts all effects of an actor and settles when each has ended. */
  async endAll(owner: string): Promise<void> {
    const entries = [...(this.#byOwner.get(owner) ?? [])];
    for (const entry of entries) entry.abort(new Error('its actor crashed'));
    await Promise.all(entries.map((entry) => entry.settled));
  }

  /**
   * Runs one effect with a bound. The driver is told the bound and gets a little
   * longer; one that does not keep to it is given up with `timedOut`, so that no
   * actor waits for ever whatever a driver does.
   */
  run<T>(
    owner: string,
    effect: string,
    timeoutMs: number,
    signal: AbortSignal,
    work: (fx: EffectContext) => Promise<T>,
  ): Promise<T> {
    const controller = new AbortController();
    const relay = (): void => controller.abort(signal.reason);
    if (signal.aborted) relay();
    else signal.addEventListener('abort', relay, { once: true });
    const since = this.#clock.monoMs();
    const entry: Entry = {
      effect,
      sinceMonoMs: since,
      deadlineMonoMs: since + timeoutMs,
      waiting: undefined,
      abort: (reason) => controller.abort(reason),
      settled: Promise.resolve(),
    };
    const fx: EffectContext = {
      signal: controller.signal,
      timeoutMs,
      note: (waiting) => {
        entry.waiting = waiting;
      },
    };
    const result = this.#bounded(entry, timeoutMs, controller, () => work(fx));
    entry.settled = result.then(
      () => undefined,
      () => undefined,
    );
    this.#add(owner, entry);
    const done = (ended: Fault | undefined): void => {
      signal.removeEventListener('abort', relay);
      this.#remove(owner, entry);
      this.#tell(owner, entry, ended);
    };
    return result.then(
      (value) => {
        done(undefined);
        return value;
      },
      (thrown: unknown) => {
        const why = toFault(thrown);
        done(why);
        throw new FaultError(why);
      },
    );
  }

  #tell(owner: string, { effect, sinceMonoMs }: Entry, ended: Fault | undefined): void {
    const kind = ended?.kind;
    const outcome = kind === undefined ? 'ok' : kind === 'timedOut' || kind === 'cancelled' ? kind : 'failed';
    this.#observer?.ended({
      owner,
      effect,
      sinceMonoMs,
      endMonoMs: this.#clock.monoMs(),
      outcome,
      fault: ended,
    });
  }

  #bounded<T>(
    entry: Entry,
    timeoutMs: number,
    controller: AbortController,
    work: () => Promise<T>,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const giveUp = (): void => {
        controller.abort(new Error('gave up'));
        try {
          fail(
            'timedOut',
            `${entry.effect}: ${entry.waiting?.on ?? 'the driver'} gave no answer within ${timeoutMs} ms`,
          );
        } catch (thrown) {
          reject(thrown);
        }
      };
      const timer = this.#clock.setTimeout(giveUp, timeoutMs + actorLimits.driverGraceMs);
      const settle = (act: () => void): void => {
        this.#clock.clearTimeout(timer);
        act();
      };
      // a driver that throws at once is no different from one that rejects; one that is not wanted any more never begins
      Promise.resolve()
        .then(() => {
          controller.signal.throwIfAborted();
          return work();
        })
        .then(
          (value) => settle(() => resolve(value)),
          (thrown: unknown) => settle(() => reject(thrown)),
        );
    });
  }

  #add(owner: string, entry: Entry): void {
    const entries = this.#byOwner.get(owner) ?? new Set<Entry>();
    entries.add(entry);
    this.#byOwner.set(owner, entries);
  }

  #remove(owner: string, entry: Entry): void {
    const entries = this.#byOwner.get(owner);
    if (entries === undefined) return;
    entries.delete(entry);
    if (entries.size === 0) this.#byOwner.delete(owner);
  }
}
