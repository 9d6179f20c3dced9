// Answers to `troupe trace` from the segments on the disk, where memory does not reach.
import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { TraceRequestSchema } from '../../../../src/gen/introspection/v1/introspection_pb.ts';
import { flightLimits, traceLimits } from '../../../../src/introspection/bounds.ts';
import type { FlightEntry } from '../../../../src/introspection/flight/entries.ts';
import { FlightRecorder } from '../../../../src/introspection/flight/flight.ts';
import { FlightHistory } from '../../../../src/introspection/flight/history.ts';
import { liveTrace } from '../../../../src/introspection/trace.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { never } from '../../../support/turns.ts';
import { stage } from '../stage.ts';

const BOOT = 'this boot';
const POD = `sandbox/${'a'.repeat(64)}`;
const NOW_MS = 10 * flightLimits.hourMs;

const mark = (atMs: number, bootId = BOOT): FlightEntry => ({ kind: 'clock', atMs, wallNs: '1', bootId });
const birth = (actor: string, name: string, atMs: number): FlightEntry => ({
  kind: 'event',
  atMs,
  actor,
  on: 'xstate.init',
  to: 'provisioning',
  settled: false,
  payload: { spec: { key: { name, namespace: 'shop', attempt: 0 } } },
});
const call = (requestId: string, atMs: number, ms: number, method = 'RunPodSandbox'): FlightEntry => ({
  kind: 'call',
  atMs,
  endMs: atMs + ms,
  method,
  requestId,
  code: 'ok',
  actors: [POD],
});
const effect = (name: string, atMs: number, ms: number): FlightEntry => ({
  kind: 'effect',
  atMs,
  endMs: atMs + ms,
  actor: POD,
  effect: name,
  outcome: 'ok',
});

const textOf = (entries: readonly FlightEntry[]): string =>
  entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');

/** A daemon whose memory has only what happens from now on. */
function bench(...segments: readonly (readonly FlightEntry[])[]) {
  const clock = new HandClock(NOW_MS);
  const { options } = stage(clock);
  const files = {
    reads: 0,
    list: () => Promise.resolve(segments.map((_one, at) => String(at))),
    read: (name: string): Promise<string | undefined> => {
      files.reads += 1;
      return Promise.resolve(textOf(segments[Number(name)] ?? []));
    },
  };
  const flight = new FlightRecorder({ clock, version: '1', pid: 1, bootId: BOOT });
  const tracing = {
    ...options,
    clock,
    flight,
    history: new FlightHistory({ segments: files, clock, bootId: BOOT }),
  };
  const trace = (query: string, slowest = false) =>
    liveTrace(tracing, create(TraceRequestSchema, { query, slowest }), [[]]);
  const slowest = async (name = '') =>
    (await trace(name, true)).slowest.map(({ requestId, ms }) => [requestId, ms]);
  return { clock, flight, files, trace, slowest };
}

const ago = (ms: number): number => NOW_MS - ms;
const MINUTE = 60_000;

describe('the slowest of the last hour', () => {
  test('are those on the disk and in memory, each once, with the names of pods', async () => {
    const { flight, clock, slowest, trace } = bench(
      [mark(ago(50 * MINUTE)), birth(POD, 'web', ago(50 * MINUTE)), call('old', ago(49 * MINUTE), 900)],
      // what memory has, too
      [mark(ago(1)), call('last', ago(1), 1), call('new', NOW_MS, 500)],
    );
    const ended = flight.call({ origin: 'RunPodSandbox', requestId: 'new' });
    flight.asked(POD, { origin: 'RunPodSandbox', requestId: 'new' });
    clock.pass(500);
    ended('ok');
    expect(await slowest('RunPodSandbox')).toEqual([
      ['old', 900],
      ['new', 500],
    ]);
    const answer = await trace('', true);
    expect(answer.slowest.map(({ title }) => title)).toEqual(['pod shop/web', 'pod shop/web']);
    expect(answer.oldestNs).toBe(BigInt(ago(50 * MINUTE)) * 1_000_000n);
  });

  test('are not those of another boot of the machine, nor older ones', async () => {
    const { slowest } = bench(
      [mark(ago(50 * MINUTE), 'earlier'), call('foreign', ago(49 * MINUTE), 900)],
      [call('of nobody knows which', ago(48 * MINUTE), 900)],
      [
        mark(ago(90 * MINUTE)),
        call('older', ago(80 * MINUTE), 900),
        call('long', ago(61 * MINUTE), 2 * MINUTE),
      ],
    );
    expect(await slowest()).toEqual([['long', 2 * MINUTE]]);
  });

  test('are few of each name, however many there were, and are read a part at a time', async () => {
    const many = Array.from({ length: 2 * traceLimits.linesPerTurn }, (_one, at) =>
      effect('create', ago(30 * MINUTE), at),
    );
    const { slowest, clock } = bench([mark(ago(40 * MINUTE)), ...many]);
    const answer = slowest();
    // it waits for turns of the event loop
    await clock.advance(0);
    await clock.advance(0);
    await clock.advance(0);
    expect((await answer).map(([, ms]) => ms)).toEqual([1023, 1022, 1021, 1020, 1019]);
  });
});

describe('a waterfall', () => {
  const START = [
    mark(ago(40 * MINUTE)),
    birth(POD, 'web', ago(40 * MINUTE)),
    effect('addNetwork', ago(40 * MINUTE) + 5, 20),
    call('r1', ago(40 * MINUTE), 40),
  ];

  test('is of a pod that was removed long ago, by its name', async () => {
    const { trace } = bench(START);
    const { episodes } = await trace('shop/web');
    expect(episodes.map(({ title, totalMs }) => [title, totalMs])).toEqual([['pod shop/web', 40]]);
    expect(episodes[0]?.rows.map(({ name }) => name)).toEqual([
      'RunPodSandbox',
      'pod: provisioning',
      'pod: addNetwork',
    ]);
  });

  test('is of a call by its id or its method, once', async () => {
    const { trace } = bench(START);
    for (const query of ['r1', 'RunPodSandbox']) {
      const { episodes } = await trace(query);
      expect(episodes.map(({ title }) => title)).toEqual(['RunPodSandbox of pod shop/web, request r1']);
      expect(episodes[0]?.rows.filter(({ kind }) => kind === 'call').length).toBe(1);
    }
    await expect(trace('nothing')).rejects.toThrow(/^\[not_found\] trace nothing: not found/u);
  });
});

describe('a disk', () => {
  test('that does not answer costs the past only, and few threads', async () => {
    const { slowest, files, clock } = bench([mark(1)]);
    files.read = () => {
      files.reads += 1;
      return never();
    };
    const answers = Array.from({ length: traceLimits.readings + 2 }, () => slowest());
    await clock.advance(traceLimits.readMs);
    expect(await Promise.all(answers)).toEqual(answers.map(() => []));
    expect(files.reads).toBe(traceLimits.readings);
  });

  test('is not read where memory has the whole hour', async () => {
    const { slowest, files, clock } = bench([mark(1)]);
    await clock.advance(flightLimits.hourMs);
    await slowest();
    expect(files.reads).toBe(0);
  });
});
