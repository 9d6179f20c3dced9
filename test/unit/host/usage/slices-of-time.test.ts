import { describe, expect, test } from 'vitest';
import { SlicesOfTime } from '../../../../src/host/usage/slices-of-time.ts';
import { loopTurn } from '../../../support/turns.ts';

describe('work in slices of time', () => {
  const clockBy = (stepMs: number) => {
    let now = 0;
    return { monoMs: () => now, step: () => (now += stepMs) };
  };

  test('has as many pieces in one turn of the event loop as fit, in order', async () => {
    const clock = clockBy(3);
    const slices = new SlicesOfTime(clock, 5);
    const done: number[] = [];
    const all = Promise.all(
      [1, 2, 3, 4, 5].map((piece) =>
        slices.run(() => {
          clock.step();
          done.push(piece);
          return piece;
        }),
      ),
    );
    expect(done).toEqual([]);
    const turns: number[][] = [];
    while (done.length < 5) {
      const before = done.length;
      await loopTurn();
      if (done.length > before) turns.push(done.slice(before));
    }
    expect(turns).toEqual([[1, 2], [3, 4], [5]]);
    expect(await all).toEqual([1, 2, 3, 4, 5]);
  });

  test('goes on after a piece that throws, and after a pause', async () => {
    const slices = new SlicesOfTime(clockBy(0), 5);
    const failed = slices.run(() => {
      throw new Error('gone');
    });
    const next = slices.run(() => 2);
    await expect(failed).rejects.toThrow('gone');
    expect(await next).toBe(2);
    expect(await slices.run(() => 3)).toBe(3);
  });
});
