/**
 * The flight recorder: keeps calls, handled events and effects of the last hour, in memory for `troupe trace` and, by
 * `writer.ts`, on the disk for a support bundle. Entries are plain objects that are encoded only when they are written.
 */
import type { EffectEnd, PastWait, RunningEffect } from '../../actors/effects/activity.ts';
import { startReason } from '../../actors/effects/recorded.ts';
import type { Cause } from '../../base/cause.ts';
import { Ring } from '../../base/bounded.ts';
import type { ClockPort } from '../../ports/clock.ts';
import { flightLimits as limits } from '../bounds.ts';
import type { CallEntry, EffectEntry, FlightEntry, Fact, SeenEvent } from './entries.ts';
import { contextFacts, payloadFacts } from './reduce.ts';
import { storedVersions } from '../../base/stored-versions.ts';

export interface FlightOptions {
  readonly clock: Pick<ClockPort, 'nowNs' | 'monoMs'>;
  readonly version: string;
  readonly pid: number;
  /** Of the machine, as in BootEntry. */
  readonly bootId?: string;
}

interface OpenCall {
  readonly atMs: number;
  readonly method: string;
  readonly requestId: string;
  readonly actors: string[];
}

/** Effects that run for a probe or a client's session, or at intervals: only those that fail or are slow are kept. */
const FREQUENT: ReadonlySet<string> = new Set([
  'execSync',
  'exec',
  'attach',
  'portForward',
  'sweep',
  'collect',
]);

/** An absolute path and what follows, since it may have spaces: it may be that of a volume or a secret. */
const PATH = /(^|[\s:="'(])\/.*$/su;

export class FlightRecorder {
  readonly #clock: FlightOptions['clock'];
  readonly #bootId: string | undefined;
  readonly #ring = new Ring<FlightEntry>(limits.entries);
  readonly #open = new Map<string, OpenCall>();
  /** The number of the segment in which each actor's facts were last recorded. */
  readonly #anchored = new Map<string, number>();
  #segment = 0;
  #segmentEntries = 0;
  #segmentAtMs: number;
  #pending: FlightEntry[] = [];
  #dropped = 0;
  #isWritten = true;
  #onPending: (() => void) | undefined;
  #onWrite: (() => Promise<void>) | undefined;

  constructor({ clock, ...instance }: FlightOptions) {
    this.#clock = clock;
    this.#bootId = instance.bootId;
    this.#segmentAtMs = clock.monoMs();
    this.#put({
      kind: 'boot',
      format: storedVersions.flight,
      atMs: this.#segmentAtMs,
      wallNs: String(clock.nowNs()),
      ...instance,
    });
  }

  /** A call of a client begins. The returned function takes its end. */
  call({ origin, requestId }: Cause): (code: string) => void {
    const call: OpenCall = { atMs: this.#clock.monoMs(), method: origin, requestId, actors: [] };
    // a client that opens more has only quick or failing calls
    if (this.#open.size < limits.openCalls) this.#open.set(requestId, call);
    return (code) => {
      this.#open.delete(requestId);
      const endMs = this.#clock.monoMs();
      const isDull = call.actors.length === 0 && code === 'ok' && endMs - call.atMs < limits.slowMs;
      if (!isDull) this.#put({ kind: 'call', ...call, endMs, code });
    };
  }

  /** A call waits for this actor. */
  asked(owner: string, { requestId }: Cause): void {
    const call = this.#open.get(requestId);
    if (call !== undefined && call.actors.length < limits.actorsPerCall && !call.actors.includes(owner))
      call.actors.push(owner);
  }

  /** An effect has ended. */
  effect({ owner, effect, sinceMonoMs, endMonoMs, outcome, fault, waits }: EffectEnd): void {
    if (outcome === 'ok' && FREQUENT.has(effect) && endMonoMs - sinceMonoMs < limits.slowMs) return;
    const reason = fault === undefined ? undefined : startReason(fault.message);
    this.#put({
      kind: 'effect',
      atMs: sinceMonoMs,
      endMs: endMonoMs,
      actor: owner,
      effect,
      outcome,
      ...(fault === undefined ? {} : { fault: fault.kind }),
      ...(reason === undefined ? {} : { reason }),
      ...(waits.length === 0 ? {} : { waits: waits.map(shownWait) }),
    });
  }

  /** A machine has handled an event. */
  event({ address, to, settled, final, event, context, value, starts }: SeenEvent, cause: string): void {
    const atMs = this.#clock.monoMs();
    this.#cutSegment(atMs);
    const isFirst = this.#anchored.get(address) !== this.#segment;
    // the machine's input has all the facts that its first context has
    const isBirth = event.type === 'xstate.init';
    const payload = payloadFacts(event);
    this.#put({
      kind: 'event',
      atMs,
      actor: address,
      on: event.type,
      to,
      settled,
      ...(cause === '' ? {} : { cause }),
      ...(starts.length === 0 ? {} : { starts }),
      ...(payload === undefined ? {} : { payload }),
      ...(isFirst && !isBirth ? { value: value as Fact, context: contextFacts(context) } : {}),
    });
    if (final) this.#anchored.delete(address);
    else if (isFirst) this.#anchored.set(address, this.#segment);
  }

  /** The kept entries, oldest first, and the calls in progress. */
  entries(): readonly FlightEntry[] {
    return [...this.#ring.items(), ...this.openCalls()];
  }

  /** Calls back when entries wait to be written, once until `drain` is called. */
  onPending(listener: () => void): void {
    this.#onPending = listener;
    if (this.#pending.length > 0) listener();
  }

  /** Called by `write`. */
  onWrite(listener: () => Promise<void>): void {
    this.#onWrite = listener;
  }

  /** Writes the entries that wait, for `flushMs` at most, unless the disk has just failed. */
  async write(): Promise<void> {
    await this.#onWrite?.();
  }

  /** The entries that were not written yet; they count as written from now on. */
  drain(): readonly FlightEntry[] {
    const drained = this.#pending;
    this.#pending = [];
    return this.#dropped === 0 ? drained : [...drained, this.#gap()];
  }

  /** Entries are kept in memory only; these were drained, and are not written. */
  pauseWriting(lost: readonly FlightEntry[]): void {
    this.#isWritten = false;
    for (const entry of [...lost, ...this.#pending])
      this.#dropped += entry.kind === 'dropped' ? entry.count : entry.kind === 'clock' ? 0 : 1;
    this.#pending = [];
  }

  /** Entries wait to be written again, in a new segment; the first one says how many are missing. */
  resumeWriting(): void {
    this.#isWritten = true;
    this.#pending = [this.#mark(this.#clock.monoMs()), ...(this.#dropped === 0 ? [] : [this.#gap()])];
    this.#onPending?.();
  }

  /** What says that entries are missing. The events that follow need facts again. */
  #gap(): FlightEntry {
    const gap: FlightEntry = { kind: 'dropped', atMs: this.#clock.monoMs(), count: this.#dropped };
    this.#dropped = 0;
    this.#segment += 1;
    return gap;
  }

  /** Begins a new segment when the current one is large or old. */
  #cutSegment(atMs: number): void {
    if (this.#segmentEntries < limits.segmentEntries && atMs - this.#segmentAtMs < limits.segmentMs) return;
    this.#segment += 1;
    this.#segmentEntries = 0;
    this.#segmentAtMs = atMs;
    this.#put(this.#mark(atMs));
  }

  /** The begin of a segment. */
  #mark(atMs: number): FlightEntry {
    const mark = { kind: 'clock', atMs, wallNs: String(this.#clock.nowNs()) } as const;
    return this.#bootId === undefined ? mark : { ...mark, bootId: this.#bootId };
  }

  #put(entry: FlightEntry): void {
    this.#segmentEntries += 1;
    this.#ring.push(entry);
    if (!this.#isWritten || this.#pending.length >= limits.pending) {
      this.#dropped += 1;
      return;
    }
    this.#pending.push(entry);
    if (this.#pending.length === 1) this.#onPending?.();
  }

  /** The calls in progress, oldest first. */
  openCalls(): readonly CallEntry[] {
    return [...this.#open.values()].map((call) => ({
      kind: 'call',
      ...call,
      actors: [...call.actors],
      endMs: undefined,
      code: '',
    }));
  }
}

/** An effect in progress as an entry. */
export function runningEntry(
  actor: string,
  { effect, sinceMonoMs, waits }: Pick<RunningEffect, 'effect' | 'sinceMonoMs' | 'waits'>,
): EffectEntry {
  return {
    kind: 'effect',
    atMs: sinceMonoMs,
    endMs: undefined,
    actor,
    effect,
    outcome: 'running',
    waits: waits.map(shownWait),
  };
}

/** Without paths: they may be those of a user's secrets. */
function shownWait({ atMs, on, pid }: PastWait): PastWait {
  const shown = on.includes('/') ? on.replace(PATH, '$1/…') : on;
  return pid === undefined ? { atMs, on: shown } : { atMs, on: shown, pid };
}
