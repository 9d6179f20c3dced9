import { expect, it } from 'vitest';
import { derived } from '../../../src/base/derived.ts';

it('makes the value at the first call, and again for another object only', () => {
  let from: readonly string[] = ['a'];
  let made = 0;
  const read = derived(
    () => from,
    (value) => {
      made += 1;
      return value.join();
    },
  );
  expect(made).toBe(0);
  expect([read(), read(), made]).toEqual(['a', 'a', 1]);
  from = ['b'];
  expect([read(), read(), made]).toEqual(['b', 'b', 2]);
});
