// Events over a hand-over: what happened in between becomes events, and what is no longer kept is known to be (F92).
import { createEmptyActor } from 'xstate';
import { expect, test } from 'vitest';
import { Directory } from '../../../../src/actors/directory/directory.ts';
import type { EventStream } from '../../../../src/cri/call/event-feed.ts';
import { EventFeed } from '../../../../src/cri/call/event-feed.ts';
import type { EventPosition, EventsBefore } from '../../../../src/cri/call/kept-events.ts';
import { KeptEvents } from '../../../../src/cri/call/kept-events.ts';
import type { PodEvent } from '../../../../src/cri/call/pod-event.ts';
import { relayLimits } from '../../../../src/cri/bounds.ts';
import { containerId, containerView, sandboxId, sandboxView } from '../stage.ts';

const [S, C, LATER] = [sandboxId('a'), containerId('c'), containerId('d')];
const ref = createEmptyActor();
const never = new AbortController().signal;

const eventAt = (ns: number): PodEvent => ({
  id: C,
  type: 'created',
  createdAtNs: BigInt(ns),
  sandbox: undefined,
  containers: [],
});

let feeds = 0;

/** A feed in which each event has the next number as its time, from `fromNs`. */
function feed(directory: Directory, fromNs: bigint, before?: EventsBefore): EventFeed {
  let ns = fromNs;
  feeds += 1;
  return new EventFeed(directory, { nowNs: () => (ns += 1n) }, { id: `feed-${feeds}`, before });
}

/** The last event that a stream has got from this feed. */
async function lastOf({ id }: EventFeed, stream: EventStream): Promise<EventPosition> {
  return { lastNs: String((await stream.take(never)).at(-1)?.createdAtNs), feed: id };
}

const words = async (stream: EventStream | undefined): Promise<string[]> =>
  ((await stream?.take(never)) ?? []).map(
    ({ id, type }) => `${{ [S]: 'pod', [C]: 'main' }[id] ?? 'later'} ${type}`,
  );

test('F92 all events since a moment are kept, up to a bound; before it, it is known that some are missing', () => {
  const kept = new KeptEvents('a', { lastNs: '10', feed: 'a' });
  const since = (ns: number) => kept.since({ lastNs: String(ns), feed: 'a' });
  expect(since(9)).toBeUndefined();
  expect(since(10)).toEqual([]);
  for (let ns = 11; ns <= 10 + relayLimits.keptEvents; ns += 1) kept.add(eventAt(ns));
  expect(since(10)).toHaveLength(relayLimits.keptEvents);
  expect(since(9 + relayLimits.keptEvents)).toHaveLength(1);
  kept.add(eventAt(11 + relayLimits.keptEvents));
  expect(since(10)).toBeUndefined();
  expect(since(10 + relayLimits.keptEvents / 2)).toHaveLength(relayLimits.keptEvents / 2 + 1);
});

test('F92 a feed that hands over says what it has announced, and nothing after it', async () => {
  const directory = new Directory();
  const former = feed(directory, 5n);
  const stream = former.open();
  directory.put(sandboxView(S), ref);
  directory.put(containerView(C), ref);
  const before = former.handOver();
  directory.drop(containerView(C, { listed: false }));
  expect(await words(stream)).toEqual(['pod created', 'pod started', 'main created', 'main started']);
  expect(before.shown.map(({ id, stage }) => [id, stage])).toEqual([
    [S, 'started'],
    [C, 'started'],
  ]);
  expect(BigInt(before.lastNs)).toBeGreaterThan(5n);
});

test('F92 the next daemon announces what has changed meanwhile, once, after all that was announced', async () => {
  const before: EventsBefore = {
    lastNs: '100',
    feed: 'former',
    shown: [
      { id: S, sandboxId: S, stage: 'started' },
      { id: C, sandboxId: S, stage: 'started' },
    ],
  };
  const directory = new Directory();
  // its clock is behind
  const next = feed(directory, 5n, before);
  directory.put(sandboxView(S), ref);
  directory.put(containerView(C, { criState: 'exited', state: 'exited' }), ref);
  directory.put(containerView(LATER), ref);
  const stream = next.open();
  next.announce();
  next.announce();
  const events = await stream.take(never);
  expect(events.map(({ id, type }) => [id, type])).toEqual([
    [C, 'stopped'],
    [LATER, 'created'],
    [LATER, 'started'],
  ]);
  expect(events.every(({ createdAtNs }) => createdAtNs > 100n)).toBe(true);
  // a daemon that follows from there gets the same
  const at = (ns: number): EventPosition => ({ lastNs: String(ns), feed: 'former' });
  expect(await words(next.openSince(at(100)))).toEqual(['main stopped', 'later created', 'later started']);
  expect(next.openSince(at(99))).toBeUndefined();
  next.stopKeeping();
  expect(next.openSince(at(100))).toBeUndefined();
});

test('F92 a pod or container that is gone by then was deleted', async () => {
  const directory = new Directory();
  const shown = [
    { id: S, sandboxId: S, stage: 'stopped' },
    { id: C, sandboxId: S, stage: 'stopped' },
  ] as const;
  const next = feed(directory, 5n, { lastNs: '1', shown });
  const stream = next.open();
  next.announce();
  expect(await words(stream)).toEqual(['main deleted', 'pod deleted']);
});

test('F92 after a crash between two hand-overs a daemon of before it learns that events are missing', () => {
  const directory = new Directory();
  // hands over, to one that crashes
  const known = feed(directory, 5n).handOver();
  // started as after a crash, and replaced before anything has happened or anybody has followed it
  const afterCrash = feed(directory, 100n).handOver();
  const next = feed(directory, 200n, afterCrash);
  next.announce();
  expect(next.openSince(known)).toBeUndefined();
  expect(next.openSince(afterCrash)).toBeDefined();
});

test('F92 a status that has the time since the last event is no gap', async () => {
  const directory = new Directory();
  const former = feed(directory, 5n);
  const stream = former.open();
  directory.put(sandboxView(S), ref);
  const known = await lastOf(former, stream);
  former.stampNs();
  const next = feed(directory, 100n, former.handOver());
  next.announce();
  expect(next.openSince(known)).toBeDefined();
});

test('F78 F92 it learns so also where the wall clock was set back before the crashed daemon’s successor (seed 7364)', async () => {
  const directory = new Directory();
  const known = feed(directory, 1000n).handOver();
  const afterCrash = feed(directory, 100n);
  const stream = afterCrash.open();
  directory.put(sandboxView(S), ref);
  const seen = await lastOf(afterCrash, stream);
  const next = feed(directory, 200n, afterCrash.handOver());
  next.announce();
  expect(next.openSince(known)).toBeUndefined();
  expect(next.openSince(seen)).toBeDefined();
});

test('F78 F92 events of a successor that crashed are not taken for those of the one that is started in its place', async () => {
  const directory = new Directory();
  const former = feed(directory, 1000n).handOver();
  const crashed = feed(directory, 1100n, former);
  crashed.announce();
  const stream = crashed.open();
  directory.put(sandboxView(S), ref);
  const seen = await lastOf(crashed, stream);
  // the former daemon has not got that event, so that the next one sends it again
  const next = feed(directory, 1050n, former);
  next.announce();
  expect(next.openSince(seen)).toBeUndefined();
  expect(await words(next.openSince(former))).toEqual(['pod created', 'pod started']);
});

test('F92 a daemon of 0.1.0 does not say whose event it knows: its time has to do', async () => {
  const directory = new Directory();
  const next = feed(directory, 100n, { lastNs: '50', feed: 'former', shown: [] });
  next.announce();
  directory.put(sandboxView(S), ref);
  expect(await words(next.openSince({ lastNs: '50' }))).toEqual(['pod created', 'pod started']);
  expect(next.openSince({ lastNs: '49' })).toBeUndefined();
  const afterOld = feed(directory, 200n, { lastNs: '150', shown: [] });
  expect(afterOld.openSince({ lastNs: '150', feed: 'former' })).toBeDefined();
  expect(afterOld.openSince({ lastNs: '149', feed: 'former' })).toBeUndefined();
});
