import { describe, expect, test } from 'vitest';
import { Pace } from '../../../src/base/pace.ts';

describe('a pace', () => {
  test('S89: allows a number of times in each span, then returns the time until the next one', () => {
    const pace = new Pace({ times: 2, everyMs: 10 });
    expect([100, 103, 104, 109.5].map((nowMs) => pace.take(nowMs))).toEqual([0, 0, 6, 0.5]);
    expect([110, 111, 112].map((nowMs) => pace.take(nowMs))).toEqual([0, 0, 8]);
  });

  test('S89: a span begins with its first event, not at a fixed time', () => {
    const pace = new Pace({ times: 1, everyMs: 10 });
    expect([5, 14, 15, 1000, 1009, 1010].map((nowMs) => pace.take(nowMs))).toEqual([0, 1, 0, 0, 1, 0]);
  });
});
