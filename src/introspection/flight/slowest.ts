/** The slowest calls and effects of a recording, by name. Pure. */
import { flightLimits, traceLimits } from '../bounds.ts';
import type { CallEntry, EffectEntry } from './entries.ts';
import { recordedTitle } from './names.ts';
import type { Recording } from './waterfall.ts';

/** A call or effect that took long. */
export interface Slow {
  readonly kind: 'call' | 'effect';
  /** The RPC or the effect. */
  readonly name: string;
  /** What it worked on; empty for a call that waited for no actor. */
  readonly title: string;
  readonly startNs: bigint;
  readonly ms: number;
  readonly outcome: string;
  /** Of a call, by which `troupe trace` finds it. */
  readonly requestId: string;
}

/**
 * The slowest of each name in the last hour, slowest first, names in alphabetical order; only of `name` unless it is
 * empty.
 */
export function slowest(recording: Recording, name: string): readonly Slow[] {
  const spans = recording.entries.filter(
    (entry): entry is CallEntry | EffectEntry =>
      (entry.kind === 'call' || entry.kind === 'effect') &&
      (name === '' || nameOf(entry) === name) &&
      (entry.endMs === undefined || recording.nowMs - entry.endMs < flightLimits.hourMs),
  );
  const groups = Map.groupBy(spans, (entry) => `${entry.kind} ${nameOf(entry)}`);
  return [...groups]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, group]) =>
      group
        .toSorted((a, b) => spanMs(b, recording) - spanMs(a, recording))
        .slice(0, traceLimits.slowest)
        .map((entry) => slowOf(entry, recording)),
    );
}

/** The slowest call of this method, or the one with this request id. */
export function findCall(recording: Recording, methodOrId: string): CallEntry | undefined {
  const calls = recording.entries.filter(
    (entry): entry is CallEntry =>
      entry.kind === 'call' && (entry.method === methodOrId || entry.requestId === methodOrId),
  );
  return calls.toSorted((a, b) => spanMs(b, recording) - spanMs(a, recording))[0];
}

const nameOf = (entry: CallEntry | EffectEntry): string =>
  entry.kind === 'call' ? entry.method : entry.effect;

function spanMs({ atMs, endMs }: CallEntry | EffectEntry, { nowMs }: Recording): number {
  return (endMs ?? nowMs) - atMs;
}

function slowOf(entry: CallEntry | EffectEntry, recording: Recording): Slow {
  const { nowMs, nowNs, actors } = recording;
  const [first] = entry.kind === 'call' ? entry.actors : [entry.actor];
  return {
    kind: entry.kind,
    name: nameOf(entry),
    title: first === undefined ? '' : recordedTitle(first, actors),
    startNs: nowNs - BigInt(Math.round((nowMs - entry.atMs) * 1e6)),
    ms: spanMs(entry, recording),
    outcome: entry.kind === 'effect' ? entry.outcome : entry.code === '' ? 'running' : entry.code,
    requestId: entry.kind === 'call' ? entry.requestId : '',
  };
}
