// The bars that the page draws of an episode.
import { join } from 'node:path';
import { expect, test } from 'vitest';

interface Bar {
  readonly x: number;
  readonly width: number;
  readonly y: number;
  readonly label: string;
  readonly tone: string;
  readonly figure: string;
}

const page = join(import.meta.dirname, '../../../src/introspection/page/waterfall.js');
const { barsOf, slowestOf } = (await import(page)) as {
  barsOf: (episode: object) => readonly Bar[];
  slowestOf: (all: readonly object[]) => readonly { readonly name: string; readonly ms: number }[];
};

test('bars begin and end in proportion to their times, and are never invisible', () => {
  const bars = barsOf({
    totalMs: 100,
    rows: [
      { kind: 'call', name: 'RunPodSandbox', endMs: 50, outcome: 'ok' },
      { kind: 'client', name: 'client', startMs: 50, endMs: 75 },
      {
        kind: 'effect',
        depth: 2,
        name: 'pod: recordReady',
        startMs: 100,
        endMs: 100,
        outcome: 'failed',
        on: 'disk',
      },
    ],
  });
  const [call, client, effect] = bars;
  expect(client?.x).toBe(call?.width);
  expect(client?.width).toBe((call?.width ?? 0) / 2);
  expect(effect).toMatchObject({ width: 1, label: 'pod: recordReady [disk, failed]', tone: 'bad' });
  expect(bars.map(({ label }) => label).slice(0, 2)).toEqual(['RunPodSandbox', 'the client waits']);
  expect(bars.map(({ figure }) => figure)).toEqual(['50 ms', '25 ms', '0.0 ms']);
  expect(new Set(bars.map(({ y }) => y)).size).toBe(3);
});

test('an answer without rows, or of no duration, has no bars beyond the picture', () => {
  expect(barsOf({})).toEqual([]);
  expect(barsOf({ rows: [{ kind: 'call', name: 'x' }] })).toMatchObject([{ x: 0, width: 1 }]);
});

test('the slowest of each name are listed, the slowest first', () => {
  const slow = slowestOf([
    { kind: 'call', name: 'StopContainer', ms: 40 },
    { kind: 'call', name: 'StopContainer', ms: 30 },
    { kind: 'effect', name: 'addNetwork', ms: 900 },
    { kind: 'effect', name: 'addNetwork', ms: 5000 },
    { kind: 'effect', name: 'create' },
  ]);
  expect(slow.map(({ name, ms }) => [name, ms])).toEqual([
    ['addNetwork', 5000],
    ['StopContainer', 40],
    ['create', undefined],
  ]);
});
