import { describe, expect, it } from 'vitest';
import { storageLimits } from '../../../../../src/oci/bounds.ts';
import { Renewed } from '../../../../../src/oci/images/store/renewed.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { turns } from '../../../../support/turns.ts';

const AGE_MS = 30_000;
const { measurePatienceMs } = storageLimits;

/** A figure whose searches the test ends. */
function figure() {
  const clock = new HandClock();
  const searches: { readonly end: (value: number) => void; readonly fail: (error: Error) => void }[] = [];
  const renewed = new Renewed({
    clock,
    ageMs: AGE_MS,
    find: () =>
      new Promise<number>((end, fail) => {
        searches.push({ end, fail });
      }),
  });
  return { clock, searches, renewed };
}

/** One that has been found at once. */
async function found(value: number) {
  const one = figure();
  const first = one.renewed.now();
  one.searches[0]?.end(value);
  expect(await first).toBe(value);
  return one;
}

describe('a figure that is renewed', () => {
  it('is searched for once for all callers, and used again while it is young', async () => {
    const { clock, searches, renewed } = figure();
    const both = [renewed.now(), renewed.now()];
    searches[0]?.end(1);
    expect(await Promise.all(both)).toEqual([1, 1]);
    clock.pass(AGE_MS - 1);
    expect(await renewed.now()).toBe(1);
    expect(searches).toHaveLength(1);
    clock.pass(1);
    const renewing = renewed.now();
    searches[1]?.end(2);
    expect(await renewing).toBe(2);
  });

  it('F22 S88 is the last one where a search takes long, and the new one once that has ended', async () => {
    const { clock, searches, renewed } = await found(1);
    clock.pass(AGE_MS);
    const waiting = renewed.now();
    await clock.advance(measurePatienceMs);
    expect(await waiting).toBe(1);
    expect(renewed.lately(AGE_MS * 2)).toBe(1);
    clock.pass(60_000);
    searches[1]?.end(2);
    await turns();
    expect(await renewed.now()).toBe(2);
    expect(searches).toHaveLength(2);
  });

  it('S89 is searched for at most half of the time', async () => {
    const { clock, searches, renewed } = await found(1);
    clock.pass(AGE_MS);
    expect(renewed.lately(AGE_MS)).toBe(1);
    clock.pass(100_000);
    searches[1]?.end(2);
    await turns();
    renewed.outdate();
    clock.pass(99_999);
    expect(await renewed.now()).toBe(2);
    expect(searches).toHaveLength(2);
    clock.pass(1);
    expect(renewed.lately(200_000)).toBe(2);
    expect(searches).toHaveLength(3);
  });

  it('is searched for again at once when what it counts has changed, also during a search', async () => {
    const { searches, renewed } = await found(1);
    renewed.outdate();
    const second = renewed.now();
    renewed.outdate();
    searches[1]?.end(2);
    expect(await second).toBe(2);
    const third = renewed.now();
    searches[2]?.end(3);
    expect(await third).toBe(3);
  });

  it('is not given when it is older than the caller allows', async () => {
    const { clock, renewed } = await found(1);
    clock.pass(60_001);
    expect(renewed.lately(60_000)).toBeUndefined();
    expect(figure().renewed.lately(60_000)).toBeUndefined();
  });

  it('fails with the search that its caller waits for, and is searched for again', async () => {
    const { searches, renewed } = figure();
    const first = renewed.now();
    searches[0]?.fail(new Error('no disk'));
    await expect(first).rejects.toThrow('no disk');
    const second = renewed.now();
    searches[1]?.end(1);
    expect(await second).toBe(1);
  });

  it('a search that fails in the background is reported to the next caller that waits', async () => {
    const { clock, searches, renewed } = await found(1);
    clock.pass(AGE_MS);
    expect(renewed.lately(AGE_MS)).toBe(1);
    searches[1]?.fail(new Error('no disk'));
    await turns();
    const waiting = renewed.now();
    searches[2]?.fail(new Error('no disk'));
    await expect(waiting).rejects.toThrow('no disk');
  });
});
