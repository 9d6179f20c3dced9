import { expect, it } from 'vitest';
import { LazyAbort } from '../../../src/base/abort.ts';

it('the signal aborts with the first reason, whether it was asked for before or after', () => {
  const [before, after] = [new LazyAbort(), new LazyAbort()];
  const { signal } = before;
  let heard = 0;
  signal.addEventListener('abort', () => (heard += 1));
  for (const one of [before, after]) {
    one.abort('first');
    one.abort('second');
  }
  expect([signal.aborted, signal.reason, heard]).toEqual([true, 'first', 1]);
  expect([after.signal.aborted, after.signal.reason]).toEqual([true, 'first']);
});

it('the signal of one that is not aborted is the same each time', () => {
  const one = new LazyAbort();
  expect(one.signal).toBe(one.signal);
  expect(one.signal.aborted).toBe(false);
});
