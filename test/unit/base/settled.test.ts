import { expect, it } from 'vitest';
import { allSettled } from '../../../src/base/settled.ts';

it('I2: waits for what still runs when one has failed, and rejects with the first failure of the list', async () => {
  const slow = Promise.withResolvers<void>();
  const failed = Promise.reject(new Error('first'));
  const ended = Promise.withResolvers<void>();
  let outcome = 'waits';
  const all = allSettled([slow.promise, failed, Promise.reject(new Error('second'))]).catch(
    (error: unknown) => {
      outcome = String(error);
      ended.resolve();
    },
  );
  await failed.catch(() => undefined);
  expect(outcome).toBe('waits');
  slow.resolve();
  await ended.promise;
  await all;
  expect(outcome).toBe('Error: first');
});

it('returns the values in the order of the list', async () => {
  expect(await allSettled([Promise.resolve(1), Promise.resolve('two')])).toEqual([1, 'two']);
});
