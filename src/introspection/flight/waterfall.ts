/**
 * Entries of the flight recorder as waterfalls: the calls of a pod with the pauses of the client between them, and
 * below them the states, effects and waits of its actors, each from when to when. Pure.
 */
import { traceLimits } from '../bounds.ts';
import type { CallEntry, EffectEntry, FlightEntry, EventEntry } from './entries.ts';
import { podMembers, recordedTitle } from './names.ts';
import type { RecordedActor } from './names.ts';

/** One bar. */
export interface WaterfallRow {
  readonly kind: 'call' | 'client' | 'state' | 'effect' | 'wait';
  /** How far it is indented. */
  readonly depth: number;
  readonly name: string;
  /** Address of the actor; empty for a call and a pause of the client. */
  readonly actor: string;
  /** Milliseconds after the begin of the episode. */
  readonly startMs: number;
  readonly endMs: number;
  /** gRPC code, outcome of an effect with the kind of its fault; `running` while it is in progress. */
  readonly outcome: string;
  /** What a wait or an effect spends its time on; empty where the name says it. */
  readonly on: '' | 'disk' | 'process' | 'lock' | 'pool' | 'network';
}

/** Work on one pod, container or pull without a long gap: a start, a stop. */
export interface Episode {
  readonly title: string;
  /** Wall clock, nanoseconds since the epoch. */
  readonly startNs: bigint;
  readonly totalMs: number;
  readonly rows: readonly WaterfallRow[];
  /** Rows beyond the bound, which are left out. */
  readonly left: number;
}

/** The entries of a time, and how that time maps to the wall clock. */
export interface Recording {
  readonly entries: readonly FlightEntry[];
  readonly actors: ReadonlyMap<string, RecordedActor>;
  readonly nowMs: number;
  readonly nowNs: bigint;
  /** When the oldest entry was written, where `entries` are only those that an answer needs. */
  readonly oldestMs?: number | undefined;
}

interface Item {
  readonly entry: CallEntry | EffectEntry | EventEntry;
  readonly atMs: number;
  readonly endMs: number;
}

/** The latest episodes of this actor and, of a pod, of its containers; oldest first. */
export function episodesOf(address: string, recording: Recording): readonly Episode[] {
  const family = podMembers(address, recording.actors);
  const items = itemsOf(recording, family);
  const groups: Item[][] = [];
  let endMs = -Infinity;
  for (const item of items) {
    const last = groups.at(-1);
    if (last === undefined || item.atMs - endMs > traceLimits.quietMs) groups.push([item]);
    else last.push(item);
    endMs = Math.max(endMs, item.endMs);
  }
  return groups
    .slice(-traceLimits.episodes)
    .map((group) => episode(recordedTitle(address, recording.actors), group, recording));
}

/** The waterfall of one call. */
export function callEpisode(call: CallEntry, recording: Recording): Episode {
  const endMs = call.endMs ?? recording.nowMs;
  const family = new Set(call.actors.flatMap((address) => [...podMembers(address, recording.actors)]));
  const items = itemsOf(recording, family).filter(
    ({ entry, atMs }) => entry === call || (entry.kind !== 'call' && atMs >= call.atMs && atMs <= endMs),
  );
  const [first] = call.actors;
  const of = first === undefined ? '' : ` of ${recordedTitle(first, recording.actors)}`;
  return episode(`${call.method}${of}, request ${call.requestId}`, items, recording);
}

/** Calls, events and effects of the family, by their begin. */
function itemsOf({ entries, nowMs }: Recording, family: ReadonlySet<string>): readonly Item[] {
  const items: Item[] = [];
  for (const entry of entries) {
    if (entry.kind === 'call') {
      if (entry.actors.some((actor) => family.has(actor)))
        items.push({ entry, atMs: entry.atMs, endMs: entry.endMs ?? nowMs });
    } else if (entry.kind === 'effect') {
      if (family.has(entry.actor)) items.push({ entry, atMs: entry.atMs, endMs: entry.endMs ?? nowMs });
    } else if (entry.kind === 'event' && family.has(entry.actor)) {
      items.push({ entry, atMs: entry.atMs, endMs: entry.atMs });
    }
  }
  return items.toSorted((a, b) => a.atMs - b.atMs || order(a) - order(b));
}

/** A call comes before the state that it causes, and a state before its effects. */
function order({ entry: { kind } }: Item): number {
  return kind === 'call' ? 0 : kind === 'event' ? 1 : 2;
}

function episode(title: string, items: readonly Item[], recording: Recording): Episode {
  const startMs = items[0]?.atMs ?? recording.nowMs;
  const endMs = items.reduce((last, item) => Math.max(last, item.endMs), startMs);
  const rows: WaterfallRow[] = [...pauses(items, startMs), ...states(items, startMs, endMs, recording)];
  for (const { entry, ...span } of items) {
    if (entry.kind === 'call') rows.push(callRow(entry, span, startMs));
    else if (entry.kind === 'effect') rows.push(...effectRows(entry, span, startMs, recording));
  }
  const sorted = rows.toSorted((a, b) => a.startMs - b.startMs || a.depth - b.depth);
  return {
    title,
    startNs: recording.nowNs - BigInt(Math.round((recording.nowMs - startMs) * 1e6)),
    totalMs: endMs - startMs,
    rows: sorted.slice(0, traceLimits.rows),
    left: Math.max(0, sorted.length - traceLimits.rows),
  };
}

type TimeSpan = Pick<Item, 'atMs' | 'endMs'>;

function callRow({ method, code }: CallEntry, { atMs, endMs }: TimeSpan, startMs: number): WaterfallRow {
  return {
    kind: 'call',
    depth: 0,
    name: method,
    actor: '',
    startMs: atMs - startMs,
    endMs: endMs - startMs,
    outcome: code === '' ? 'running' : code,
    on: '',
  };
}

/** What the client waits between its calls: no call of it is in progress. */
function pauses(items: readonly Item[], startMs: number): readonly WaterfallRow[] {
  const rows: WaterfallRow[] = [];
  let freeMs: number | undefined;
  for (const { entry, atMs, endMs } of items) {
    if (entry.kind !== 'call') continue;
    if (freeMs !== undefined && atMs - freeMs >= traceLimits.pauseMs) {
      const span = { startMs: freeMs - startMs, endMs: atMs - startMs };
      rows.push({ kind: 'client', depth: 0, name: 'client', actor: '', ...span, outcome: '', on: '' });
    }
    freeMs = Math.max(freeMs ?? endMs, endMs);
  }
  return rows;
}

/** The states that are not settled, each until the next one of its actor. */
function states(
  items: readonly Item[],
  startMs: number,
  endMs: number,
  { actors }: Recording,
): readonly WaterfallRow[] {
  const rows: WaterfallRow[] = [];
  const present = new Map<string, EventEntry>();
  const close = ({ actor, to, atMs, settled }: EventEntry, untilMs: number): void => {
    if (settled) return;
    const span = { startMs: atMs - startMs, endMs: untilMs - startMs };
    rows.push({
      kind: 'state',
      depth: 1,
      name: `${shortName(actor, actors)}: ${to}`,
      actor,
      ...span,
      outcome: '',
      on: '',
    });
  };
  for (const { entry } of items) {
    if (entry.kind !== 'event') continue;
    const before = present.get(entry.actor);
    if (before?.to === entry.to) continue;
    if (before !== undefined) close(before, entry.atMs);
    present.set(entry.actor, entry);
  }
  for (const last of present.values()) close(last, endMs);
  return rows;
}

/** `pod` or the container's name: the title of the episode has the pod's. */
function shortName(address: string, actors: ReadonlyMap<string, RecordedActor>): string {
  if (address.startsWith('sandbox/')) return 'pod';
  return actors.get(address)?.name ?? address;
}

function effectRows(
  entry: EffectEntry,
  { atMs, endMs }: TimeSpan,
  startMs: number,
  { actors }: Recording,
): readonly WaterfallRow[] {
  const { actor, effect, outcome, fault, reason, waits = [] } = entry;
  const why = [outcome, fault, reason].filter((word) => word !== undefined).join(' ');
  const common = { actor, outcome: '' };
  const row: WaterfallRow = {
    ...common,
    kind: 'effect',
    depth: 2,
    name: `${shortName(actor, actors)}: ${effect}`,
    startMs: atMs - startMs,
    endMs: endMs - startMs,
    outcome: outcome === 'ok' ? '' : why,
    on: spentOn(effect, undefined),
  };
  return [
    row,
    ...waits.map((wait, at): WaterfallRow => ({
      ...common,
      kind: 'wait',
      depth: 3,
      name: wait.pid === undefined ? wait.on : `${wait.on} (pid ${wait.pid})`,
      startMs: wait.atMs - startMs,
      endMs: (waits[at + 1]?.atMs ?? endMs) - startMs,
      on: spentOn(wait.on, wait.pid),
    })),
  ];
}

/** Words by which effects and notes say what they wait for. */
const SPENT_ON: readonly (readonly [RegExp, WaterfallRow['on']])[] = [
  [/^record[A-Z]|journal sync|file system|layer|bundle|passwd/u, 'disk'],
  [/\block\b|another|earlier/u, 'lock'],
  [/\bthread\b/u, 'pool'],
  [/^manifest|^resolve$|registry|signature/u, 'network'],
];

function spentOn(name: string, pid: number | undefined): WaterfallRow['on'] {
  if (pid !== undefined) return 'process';
  return SPENT_ON.find(([words]) => words.test(name))?.[1] ?? '';
}
