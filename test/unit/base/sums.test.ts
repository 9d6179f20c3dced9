import { expect, it } from 'vitest';
import { Sums } from '../../../src/base/sums.ts';

it('sums by key, and keeps no key whose sum is zero', () => {
  const sums = new Sums();
  sums.add('a', 2);
  sums.add('b', 5);
  sums.add('a', 1);
  expect([sums.of('a'), sums.of('b'), sums.of('c'), sums.size]).toEqual([3, 5, 0, 2]);
  sums.add('a', -3);
  sums.add('c', 0);
  expect([sums.of('a'), sums.size]).toEqual([0, 1]);
});
