// Entries as waterfalls, and the slowest of them.
import { describe, expect, test } from 'vitest';
import { recordingOf as readFromFiles } from '../../../../src/introspection/flight/answer.ts';
import { traceLimits } from '../../../../src/introspection/bounds.ts';
import type { FlightEntry } from '../../../../src/introspection/flight/entries.ts';
import { actorsOf, findActor, recordedTitle } from '../../../../src/introspection/flight/names.ts';
import { findCall, slowest } from '../../../../src/introspection/flight/slowest.ts';
import { callEpisode, episodesOf } from '../../../../src/introspection/flight/waterfall.ts';
import type { Recording } from '../../../../src/introspection/flight/waterfall.ts';

const POD = 'sandbox/aa11';
const APP = 'container/cc22';

const birth = (actor: string, atMs: number, to: string, key: object): FlightEntry => ({
  kind: 'event',
  atMs,
  actor,
  on: 'xstate.init',
  to,
  settled: false,
  payload: { spec: { key: { ...key } } },
});
const event = (actor: string, atMs: number, to: string, settled = false): FlightEntry => ({
  kind: 'event',
  atMs,
  actor,
  on: 'x',
  to,
  settled,
});
const call = (
  method: string,
  atMs: number,
  endMs: number | undefined,
  ...actors: readonly string[]
): FlightEntry => ({
  kind: 'call',
  atMs,
  endMs,
  method,
  requestId: `${method}-${atMs}`,
  code: endMs === undefined ? '' : 'ok',
  actors,
});
const effect = (
  actor: string,
  name: string,
  atMs: number,
  endMs: number,
  part: object = {},
): FlightEntry => ({
  kind: 'effect',
  atMs,
  endMs,
  actor,
  effect: name,
  outcome: 'ok',
  ...part,
});

const START: readonly FlightEntry[] = [
  birth(POD, 1000, 'recordingIntent', { name: 'web', namespace: 'shop' }),
  effect(POD, 'recordIntent', 1000, 1002),
  event(POD, 1002, 'provisioning'),
  effect(POD, 'addNetwork', 1002, 1050, { waits: [{ atMs: 1010, on: 'CNI ADD bridge', pid: 5 }] }),
  event(POD, 1050, 'ready', true),
  call('RunPodSandbox', 1000, 1051, POD),
  birth(APP, 1070, 'recordingIntent', { name: 'app', sandboxId: 'aa11' }),
  call('CreateContainer', 1070, 1090, APP),
];

const recordingOf = (entries: readonly FlightEntry[], nowMs = 2000): Recording => ({
  entries,
  actors: actorsOf(entries),
  nowMs,
  nowNs: 10_000_000_000n,
});

describe('a pod', () => {
  test('shows its calls, the pauses of the client, states, effects and waits, by their begin', () => {
    const [episode, ...others] = episodesOf(POD, recordingOf(START));
    expect(others).toEqual([]);
    expect(episode).toMatchObject({ title: 'pod shop/web', totalMs: 90, startNs: 9_000_000_000n });
    expect(
      episode?.rows.map(({ kind, name, startMs, endMs, on }) => [kind, name, startMs, endMs, on]),
    ).toEqual([
      ['call', 'RunPodSandbox', 0, 51, ''],
      ['state', 'pod: recordingIntent', 0, 2, ''],
      ['effect', 'pod: recordIntent', 0, 2, 'disk'],
      ['state', 'pod: provisioning', 2, 50, ''],
      ['effect', 'pod: addNetwork', 2, 50, ''],
      ['wait', 'CNI ADD bridge (pid 5)', 10, 50, 'process'],
      ['client', 'client', 51, 70, ''],
      ['call', 'CreateContainer', 70, 90, ''],
      ['state', 'app: recordingIntent', 70, 90, ''],
    ]);
  });

  test('has an episode for each time of work, and a call in progress reaches to now', () => {
    const stopAt = 1090 + traceLimits.quietMs + 1;
    const entries = [...START, call('StopPodSandbox', stopAt, undefined, POD)];
    const episodes = episodesOf(POD, recordingOf(entries, stopAt + 500));
    expect(episodes.map(({ rows, totalMs }) => [rows.length, totalMs])).toEqual([
      [9, 90],
      [1, 500],
    ]);
    expect(episodes[1]?.rows[0]).toMatchObject({ outcome: 'running', endMs: 500 });
  });
});

describe('a call', () => {
  test('is found by its method, the slowest one, or by its request id', () => {
    const entries = [...START, call('RunPodSandbox', 5000, 5010, 'sandbox/other')];
    const recording = recordingOf(entries);
    expect(findCall(recording, 'RunPodSandbox')?.requestId).toBe('RunPodSandbox-1000');
    expect(findCall(recording, 'RunPodSandbox-5000')?.atMs).toBe(5000);
    expect(findCall(recording, 'StopContainer')).toBeUndefined();
  });

  test('shows only what happened while it was in progress', () => {
    const recording = recordingOf(START);
    const found = findCall(recording, 'CreateContainer');
    const { title, rows } = callEpisode(found ?? raise(), recording);
    expect(title).toBe('CreateContainer of container app, request CreateContainer-1070');
    expect(rows.map(({ name }) => name)).toEqual(['CreateContainer', 'app: recordingIntent']);
  });
});

function raise(): never {
  throw new Error('not found');
}

test('the slowest are listed by kind and name, bounded', () => {
  const many = Array.from({ length: traceLimits.slowest + 2 }, (_none, at) =>
    effect(POD, 'undo', at, 2 * at),
  );
  const listed = slowest(recordingOf([...START, ...many]), '');
  expect(listed.filter(({ name }) => name === 'undo').map(({ ms }) => ms)).toEqual([6, 5, 4, 3, 2]);
  expect(listed[0]).toMatchObject({ kind: 'call', name: 'CreateContainer', title: 'container app', ms: 20 });
  expect(slowest(recordingOf(START), 'addNetwork')).toMatchObject([{ title: 'pod shop/web', ms: 48 }]);
});

test('an actor is found by address, id, name or the beginning of its id', () => {
  const actors = actorsOf(START);
  for (const word of [POD, 'aa11', 'web', 'shop/web', 'aa'])
    expect(findActor(word, actors)?.address).toBe(POD);
  for (const word of [APP, 'app', 'web/app', 'shop/web/app', 'cc'])
    expect(findActor(word, actors)?.address).toBe(APP);
  expect(findActor('none', actors)).toBeUndefined();
  expect(recordedTitle('sandbox/unknown', actors)).toBe('sandbox/unknown');
});

test('a recording begins with the last boot of the machine, also where that one has run for longer', () => {
  const boot = (atMs: number, bootId?: string): FlightEntry => ({
    kind: 'boot',
    atMs,
    wallNs: '1000000000',
    version: '1',
    pid: 1,
    ...(bootId === undefined ? {} : { bootId }),
  });
  const begun = (entries: readonly FlightEntry[]): number | undefined =>
    readFromFiles(entries).entries[0]?.atMs;
  const one = call('StopPodSandbox', 10, 50);
  expect(begun([boot(5, 'a'), one, boot(90, 'b'), call('Version', 91, 92)])).toBe(90);
  expect(begun([boot(5, 'a'), one, boot(90, 'a')])).toBe(5);
  // of an earlier version, which did not record it: only a clock that went back shows it
  expect(begun([boot(5), one, boot(90, 'b')])).toBe(5);
  expect(begun([boot(5), one, boot(40, 'b')])).toBe(40);
});
