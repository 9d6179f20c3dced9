// The text of `troupe trace`.
import { expect, test } from 'vitest';
import { makeScreen } from '../../../../src/daemon/cli/screen.ts';
import { episodeLines } from '../../../../src/daemon/cli/trace.ts';

const silent = { write: () => true };
const row = (
  kind: string,
  depth: number,
  name: string,
  startMs: number,
  endMs: number,
  part: object = {},
) => ({
  kind,
  depth,
  name,
  actor: '',
  startMs,
  endMs,
  outcome: '',
  on: '',
  ...part,
});
const episode = {
  title: 'pod shop/web',
  startNs: 0n,
  totalMs: 100,
  left: 2,
  rows: [
    row('call', 0, 'RunPodSandbox', 0, 60, { outcome: 'ok' }),
    row('effect', 2, 'pod: recordIntent', 0, 1, { on: 'disk' }),
    row('wait', 3, 'CNI ADD bridge (pid 5)', 10, 50, { on: 'process' }),
    row('client', 0, 'client', 60, 80),
    row('call', 0, 'StopContainer', 80, 100, { outcome: 'running' }),
  ],
};

test('each row has its begin, its duration and a bar; what is not ok is named', () => {
  const screen = makeScreen(silent, silent, { noColor: true, columns: 100 }, 'mark');
  const [title = '', head = '', ...rows] = episodeLines(episode, screen);
  expect(title).toMatch(/^pod shop\/web: 100\.0 ms from /u);
  expect(head).toBe('   at ms   for ms');
  const width = rows[0]?.indexOf('|') ?? 0;
  expect(rows.slice(0, -1).every((text) => text.indexOf('|') === width)).toBe(true);
  expect(rows.map((text) => text.replace(/ +\|/u, ' |'))).toEqual([
    '     0.0     60.0  RunPodSandbox |================',
    '     0.0      1.0      pod: recordIntent [disk] |#',
    '    10.0     40.0        CNI ADD bridge (pid 5) [process] |   ~~~~~~~~~~',
    '    60.0     20.0  (the client waits) |                .....',
    '    80.0     20.0  StopContainer [running] |                     =====',
    '2 more rows',
  ]);
});

test('a narrow screen cuts names, not figures', () => {
  const screen = makeScreen(silent, silent, { noColor: true, columns: 50 }, 'mark');
  const rows = episodeLines(episode, screen).slice(2, -1);
  for (const text of rows) expect(text.length).toBeLessThanOrEqual(50);
  expect(rows[2]).toContain('…');
});
