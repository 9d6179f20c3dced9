/**
 * Runs every effect of every actor and records what it is waiting for, so that a DeadlineExceeded can name it, and so
 * that the effects of a crashed actor can be ended before the actor is rebuilt.
 */
import { onAbort } from '../../base/abort.ts';
import { fail, fault, FaultError, toFault } from '../../base/fault.ts';
import { actorLimits } from '../bounds.ts';
import type { Cause } from '../../base/cause.ts';
import type { Fault } from '../../base/fault.ts';
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import type { EffectContext, Waiting } from '../../ports/effect.ts';
import { EffectGate, isResumable, mustLand } from './effect-gate.ts';
import { Turns } from './turns.ts';

/** What an effect waited for, from `atMs` (monotonic) until the next wait or its end. */
export interface PastWait {
  readonly atMs: number;
  readonly on: string;
  readonly pid?: number | undefined;
}

/** An effect in progress. */
export interface RunningEffect {
  readonly effect: string;
  readonly sinceMonoMs: number;
  readonly deadlineMonoMs: number;
  readonly waiting: Waiting | undefined;
  /** What it has waited for so far, oldest first, at most `waitsPerEffect`. */
  readonly waits: readonly PastWait[];
}

/** An effect that has ended, for metrics and traces. */
export interface EffectEnd {
  readonly owner: string;
  readonly effect: string;
  readonly sinceMonoMs: number;
  readonly endMonoMs: number;
  readonly outcome: 'ok' | 'failed' | 'timedOut' | 'cancelled';
  readonly fault: Fault | undefined;
  /** What it waited for, oldest first, at most `waitsPerEffect`. */
  readonly waits: readonly PastWait[];
}

/** Receives calls and effects as they begin and end; must not throw. */
export interface ActivityObserver {
  /** A call waits for this actor: the actor's effects until it settles count as caused by the call. */
  asked(owner: string, cause: Cause): void;
  /** The call no longer waits. An actor that is not settled continues on behalf of the call. */
  answered(owner: string, cause: Cause, isSettled: boolean): void;
  ended(end: EffectEnd): void;
}

/** What bounds the answer to a call; a part of `Call` (directory/ask.ts). */
export interface Deadlined {
  readonly signal: AbortSignal;
  readonly deadlineMonoMs: number | undefined;
}

/** An effect that runs for one call. */
export interface EffectOfCall {
  /** Such as `RemoveImage busybox`; begins the message. */
  readonly attempted: string;
  readonly owner: string;
  readonly effect: string;
  readonly timeoutMs: number;
}

interface Entry {
  effect: string;
  sinceMonoMs: number;
  deadlineMonoMs: number;
  waiting: Waiting | undefined;
  waits: PastWait[];
  /** Whether it waits for its turn, or the gate holds it back. */
  isHeld: boolean;
  abort: (reason: unknown) => void;
  /** Whether it was aborted because another daemon takes over. */
  isHandedOver: boolean;
  settled: Promise<void>;
}

export class Activity {
  readonly #clock: ClockPort;
  readonly #byOwner = new Map<string, Set<Entry>>();
  /** Holds effects back while another daemon takes over. */
  readonly gate = new EffectGate();
  readonly #turns: Turns;
  #observer: ActivityObserver | undefined;

  /** @param processors that effects share (turns.ts); no effect waits for another where there is no bound */
  constructor(clock: ClockPort, processors?: number) {
    this.#clock = clock;
    this.#turns = new Turns(clock, processors);
  }

  /** Sets the observer. There is one, for metrics and traces. */
  observe(observer: ActivityObserver): void {
    this.#observer = observer;
  }

  /** Called by `ask` when a call begins to wait. */
  asked(owner: string, cause: Cause): void {
    this.#observer?.asked(owner, cause);
  }

  /** Called by `ask` when a call ends its wait. */
  answered(owner: string, cause: Cause, isSettled: boolean): void {
    this.#observer?.answered(owner, cause, isSettled);
  }

  /** The effects of all actors that are in progress. */
  all(): readonly RunningEffect[] {
    return [...this.#byOwner.values()].flatMap((entries) => [...entries]);
  }

  /** The actors, and whoever else runs effects, that have one in progress. */
  owners(): readonly string[] {
    return [...this.#byOwner.keys()];
  }

  /** The effects of this actor that are in progress, oldest first. */
  of(owner: string): readonly RunningEffect[] {
    return [...(this.#byOwner.get(owner) ?? [])];
  }

  /** Whether an effect of this actor is in progress. */
  isBusy(owner: string): boolean {
    return this.#byOwner.has(owner);
  }

  /** One line for messages: what the actor waits for, and for how long; empty without an effect in progress. */
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
   * Aborts all effects of this actor, because their results are no longer wanted. Each rejects soon or ends as it would
   * have; the actor receives either result.
   */
  abort(owner: string, reason: string): void {
    for (const entry of [...(this.#byOwner.get(owner) ?? [])])
      entry.abort(new FaultError(fault('cancelled', reason)));
  }

  /** Aborts all effects of an actor and settles once each has ended. */
  async endAll(owner: string): Promise<void> {
    const entries = [...(this.#byOwner.get(owner) ?? [])];
    for (const entry of entries) entry.abort(new Error('its actor crashed'));
    await Promise.all(entries.map((entry) => entry.settled));
  }

  /** What a hand-over waits for, as `effect of owner`: effects in progress that change the node. */
  landing(): readonly string[] {
    return this.#landing().map(([owner, { effect }]) => `${effect} of ${owner}`);
  }

  /**
   * Settles once no effect is in progress that changes the node. Resumable effects are aborted now, the others once
   * `late` has aborted. Call it with the gate frozen.
   * @param off aborts when the hand-over is called off: from then on nothing is aborted, and it settles soon
   */
  async landed(late: AbortSignal, off: AbortSignal): Promise<void> {
    const end = (entry: Entry): void => {
      entry.isHandedOver = true;
      entry.abort(new FaultError(fault('cancelled', 'another daemon takes over', { retryable: true })));
    };
    while (!off.aborted) {
      const entries = this.#landing().map(([, entry]) => entry);
      if (entries.length === 0) {
        // an effect that has just ended makes its actor begin the next one, such as its record, some microtasks later
        await new Promise<void>((resolve) => void this.#clock.setTimeout(resolve, 0));
        if (this.#landing().length === 0) return;
        continue;
      }
      for (const entry of entries) if (isResumable(entry.effect)) end(entry);
      const stopListening = onAbort(late, () => entries.forEach(end));
      const isOff = Promise.withResolvers<void>();
      const stopWaiting = onAbort(off, () => isOff.resolve());
      await Promise.race([Promise.all(entries.map((entry) => entry.settled)), isOff.promise]);
      stopWaiting();
      stopListening();
    }
  }

  #landing(): readonly (readonly [string, Entry])[] {
    return [...this.#byOwner].flatMap(([owner, entries]) =>
      [...entries]
        .filter(({ effect, isHeld }) => !isHeld && mustLand(effect))
        .map((entry) => [owner, entry] as const),
    );
  }

  /**
   * Runs one effect, bounded by `timeoutMs` milliseconds. The driver gets the bound and should keep to it. After a
   * further `driverGraceMs` the effect fails with `timedOut`, so that no actor waits for ever, whatever a driver does.
   */
  run<T>(
    owner: string,
    effect: string,
    timeoutMs: number,
    signal: AbortSignal,
    work: (fx: EffectContext) => Promise<T>,
  ): Promise<T> {
    const controller = new AbortController();
    const stopListening = onAbort(signal, () => controller.abort(signal.reason));
    const since = this.#clock.monoMs();
    const entry: Entry = {
      effect,
      sinceMonoMs: since,
      deadlineMonoMs: since + timeoutMs,
      waiting: undefined,
      waits: [],
      isHeld: false,
      abort: (reason) => controller.abort(reason),
      isHandedOver: false,
      settled: Promise.resolve(),
    };
    const fx: EffectContext = {
      signal: controller.signal,
      timeoutMs,
      note: (waiting) => {
        entry.waiting = waiting;
        noteWait(entry.waits, waiting, this.#clock);
      },
    };
    const result = this.#bounded(entry, timeoutMs, controller, () => work(fx));
    entry.settled = result.then(
      () => undefined,
      () => undefined,
    );
    this.#add(owner, entry);
    const done = (ended: Fault | undefined): void => {
      stopListening();
      this.#remove(owner, entry);
      this.#report(owner, entry, ended);
    };
    return result.then(
      (value) => {
        done(undefined);
        return value;
      },
      (thrown: unknown) => {
        const why = entry.isHandedOver
          ? { ...toFault(thrown), endedByHandOver: true as const }
          : toFault(thrown);
        done(why);
        throw new FaultError(why);
      },
    );
  }

  /**
   * As `run`, on behalf of one call, which is answered at its deadline with what the effect waits on. The effect is
   * then aborted, as it is when the caller goes.
   */
  async runForCall<T>(
    { signal, deadlineMonoMs }: Deadlined,
    { attempted, owner, effect, timeoutMs }: EffectOfCall,
    work: (fx: EffectContext) => Promise<T>,
  ): Promise<T> {
    const controller = new AbortController();
    const stopListening = onAbort(signal, () => controller.abort(signal.reason));
    const result = this.run(owner, effect, timeoutMs, controller.signal, work);
    return new Promise<T>((resolve, reject) => {
      const atDeadline = (): void => {
        const late = fault('timedOut', `${attempted}: deadline passed, waiting on ${this.describe(owner)}`);
        reject(new FaultError(late));
        controller.abort(new FaultError(late));
      };
      const leftMs = deadlineMonoMs === undefined ? undefined : deadlineMonoMs - this.#clock.monoMs();
      const timer =
        leftMs === undefined ? undefined : this.#clock.setTimeout(atDeadline, Math.max(0, leftMs));
      const end = (act: () => void): void => {
        if (timer !== undefined) this.#clock.clearTimeout(timer);
        stopListening();
        act();
      };
      result.then(
        (value) => end(() => resolve(value)),
        (thrown: unknown) => end(() => reject(thrown)),
      );
    });
  }

  #report(owner: string, { effect, sinceMonoMs, waits }: Entry, ended: Fault | undefined): void {
    const kind = ended?.kind;
    const outcome = kind === undefined ? 'ok' : kind === 'timedOut' || kind === 'cancelled' ? kind : 'failed';
    this.#observer?.ended({
      owner,
      effect,
      sinceMonoMs,
      endMonoMs: this.#clock.monoMs(),
      outcome,
      fault: ended,
      waits,
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
            `${entry.effect}: timed out after ${timeoutMs} ms waiting for ${entry.waiting?.on ?? 'the driver'}`,
          );
        } catch (thrown) {
          reject(thrown);
        }
      };
      let timer: TimerHandle | undefined;
      const begin = (): Promise<T> => {
        controller.signal.throwIfAborted();
        return work();
      };
      const boundFrom = (beganMonoMs: number): void => {
        entry.deadlineMonoMs = beganMonoMs + timeoutMs;
        timer = this.#clock.setTimeout(giveUp, timeoutMs + actorLimits.driverGraceMs);
      };
      const turn = this.#turns.take(entry.effect, controller.signal);
      const settle = (act: () => void): void => {
        if (timer !== undefined) this.#clock.clearTimeout(timer);
        turn?.end();
        act();
      };
      const held = this.#held(entry, turn?.begins, controller.signal);
      entry.isHeld = held !== undefined;
      if (held === undefined) boundFrom(entry.sinceMonoMs);
      // inside a promise, so that a driver that throws counts as rejecting; an effect aborted by now never begins
      (held ?? Promise.resolve())
        .then(() => {
          if (entry.isHeld) boundFrom(this.#clock.monoMs());
          entry.isHeld = false;
          return begin();
        })
        .then(
          (value) => settle(() => resolve(value)),
          (thrown: unknown) => settle(() => reject(thrown)),
        );
    });
  }

  /** Undefined if the effect may begin now; otherwise settles once it may. The gate may close while it waits. */
  #held(entry: Entry, turn: Promise<void> | undefined, signal: AbortSignal): Promise<void> | undefined {
    if (turn === undefined) return this.gate.hold(entry.effect, signal);
    entry.waiting = { on: 'its turn: others keep the processors busy' };
    noteWait(entry.waits, entry.waiting, this.#clock);
    return turn.then(() => {
      entry.waiting = undefined;
      return this.gate.hold(entry.effect, signal);
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

/** Adds a wait. A note that only adds the process, or the progress of a download, belongs to the wait before. */
function noteWait(waits: PastWait[], { on, pid }: Waiting, clock: ClockPort): void {
  const last = waits.at(-1);
  if (last?.on === on) waits[waits.length - 1] = { ...last, pid };
  else if (waits.length < actorLimits.waitsPerEffect) waits.push({ atMs: clock.monoMs(), on, pid });
}
