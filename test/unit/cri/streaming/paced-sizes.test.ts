import { expect, test, vi } from 'vitest';
import { streamLimits } from '../../../../src/cri/bounds.ts';
import { Resizes, pacedSizes } from '../../../../src/cri/streaming/command-channels.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { loopTurn } from '../../../support/turns.ts';

const { times, everyMs } = streamLimits.resizing;

/** A client's resize channel, and the widths that came out of it. */
function channel() {
  const clock = new HandClock();
  const resizes = new Resizes();
  const seen: number[] = [];
  resizes.onResize(pacedSizes(clock, ({ columns }) => void seen.push(columns)));
  return {
    clock,
    seen,
    push: (columns: number) => resizes.push(Buffer.from(`{"Width":${columns},"Height":24}`)),
  };
}

test('S89: of a storm of sizes a bounded number are passed on in each span, and the last one at the end', async () => {
  const { clock, seen, push } = channel();
  let last = 0;
  for (let span = 0; span < 3; span += 1) {
    for (let count = 0; count < 5000; count += 1) push((last += 1));
    await loopTurn();
    // the one that meets the bound has been passed on
    expect(seen.length).toBeLessThanOrEqual((times + 1) * (span + 1));
    clock.nowMs += everyMs;
    clock.fire();
    await loopTurn();
  }
  expect(seen.at(-1)).toBe(last);
  expect(seen.slice(0, times)).toEqual([1, 2, 3, 4].slice(0, times));
});

test('S89: sizes at a person’s rate are passed on at once', async () => {
  const { clock, seen, push } = channel();
  for (let columns = 1; columns <= 20; columns += 1) {
    push(columns);
    clock.nowMs += everyMs / times;
    await loopTurn();
  }
  expect(seen).toHaveLength(20);
  expect(clock.timers.size).toBe(0);
});

test.each(['}', '{x}', '{}', '{"Width":0}', '{"Width":80,"Height":24}'])(
  'S89: of a storm of %s few are read, and the last size counts',
  (one) => {
    const { seen, push } = channel();
    const resizes = new Resizes();
    const parse = vi.spyOn(JSON, 'parse');
    const exec = vi.spyOn(RegExp.prototype, 'exec');
    resizes.push(Buffer.from(one.repeat(20_000)));
    const reads = parse.mock.calls.length + exec.mock.calls.length;
    vi.restoreAllMocks();
    expect(reads).toBeLessThanOrEqual(2 * streamLimits.resizeTries);
    push(7);
    expect(seen).toEqual([7]);
  },
);
