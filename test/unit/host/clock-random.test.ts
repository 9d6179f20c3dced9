import { expect, test } from 'vitest';
import { realClock } from '../../../src/host/clock.ts';
import { realRandom } from '../../../src/host/random.ts';

test('wall time increases strictly and agrees with the system', () => {
  const clock = realClock();
  const before = BigInt(Date.now()) * 1_000_000n;
  let last = clock.nowNs();
  expect(last).toBeGreaterThanOrEqual(before);
  for (let index = 0; index < 2000; index += 1) {
    const now = clock.nowNs();
    expect(now).toBeGreaterThan(last);
    last = now;
  }
  // a clock that only counted up from milliseconds would stay below the next one
  expect(last).toBeLessThan((BigInt(Date.now()) + 1000n) * 1_000_000n);
});

test('a timer fires once, a cleared one never, and a delay over 2^31-1 ms does not fire at once', async () => {
  const clock = realClock();
  const fired: string[] = [];
  const far = clock.setTimeout(() => fired.push('far'), 2 ** 40);
  const none = clock.setTimeout(() => fired.push('NaN'), Number.NaN);
  clock.clearTimeout(clock.setTimeout(() => fired.push('cleared'), 0));
  const startedMs = clock.monoMs();
  await new Promise<void>((resolve) => {
    clock.setTimeout(() => {
      fired.push('soon');
      resolve();
    }, 5);
  });
  clock.clearTimeout(far);
  clock.clearTimeout(none);
  expect(fired).toEqual(['soon']);
  expect(clock.monoMs()).toBeGreaterThan(startedMs);
});

test('ids have 64 hex digits and tokens the length asked for', () => {
  const random = realRandom();
  expect(random.id()).toMatch(/^[0-9a-f]{64}$/u);
  expect(random.id()).not.toBe(random.id());
  expect(random.token(20)).toMatch(/^[0-9a-f]{40}$/u);
});
