import { closeSync, writeSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { clockLimits } from '../../../../src/host/bounds.ts';
import { ascending, realClock, watchForStalls } from '../../../../src/host/clock/clock.ts';
import { makePipe } from '../../../../src/host/io/descriptors.ts';
import { realRandom } from '../../../../src/host/clock/random.ts';
import { SocketReader } from '../../../../src/host/io/socket-reader.ts';
import { EXHAUSTIVE } from '../../../support/exhaustive.ts';

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

test('F78 wall time counts on over a small step back, and follows a clock set back or ahead', () => {
  const MS = 1_000_000n;
  const YEAR = 31_536_000_000n * MS;
  const wall = [5n * MS, 5n * MS, 4n * MS, 5n * MS + YEAR, 6n * MS, 6n * MS, 0n];
  const nowNs = ascending(() => wall.shift() ?? 0n);
  // a step of a ms, the year ahead and back, and what a clock says that has begun anew within a second
  expect(Array.from({ length: 7 }, nowNs)).toEqual([
    5n * MS,
    5n * MS + 1n,
    5n * MS + 2n,
    5n * MS + YEAR,
    6n * MS,
    6n * MS + 1n,
    6n * MS + 2n,
  ]);
});

test('S89: a timer never fires before its time, fractions of a millisecond included', async () => {
  const clock = realClock();
  const early: number[] = [];
  for (let at = 0; at < 200; at += 1) {
    const dueMs = clock.monoMs() + 1.9;
    await new Promise<void>((resolve) => void clock.setTimeout(resolve, 1.9));
    const leftMs = dueMs - clock.monoMs();
    if (leftMs > 0) early.push(leftMs);
  }
  expect(early).toEqual([]);
});

/** The event loop stands still for a little more than a stall. */
function stall(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, clockLimits.stallMs + 100);
}

test(
  'F15 F79 events ready before a stall of the event loop come before a bound that expired in it',
  { tags: [EXHAUSTIVE] },
  async () => {
    const clock = realClock();
    const order: string[] = [];
    const bound = new Promise<void>((resolve) => {
      clock.setTimeout(() => {
        order.push('bound');
        resolve();
      }, 1);
    });
    const cleared = clock.setTimeout(() => order.push('cleared'), 1);
    const pipe = makePipe();
    const reader = new SocketReader(pipe.read);
    reader.start(() => void order.push('work'));
    // in the kernel already when the stall is over: no thread has to be in time
    writeSync(pipe.write, 'x');
    closeSync(pipe.write);
    stall();
    // its first time is over: it must be as good as any other to be taken back
    await turn();
    clock.clearTimeout(cleared);
    await Promise.all([bound, reader.closed]);
    expect(order).toEqual(['work', 'bound']);
  },
);

test('F15 a stall is reported once, with the process’s own CPU time', { tags: [EXHAUSTIVE] }, async () => {
  const reported: number[] = [];
  let stop = (): void => undefined;
  await new Promise<void>((resolve) => {
    stop = watchForStalls(({ ms, cpuMs }) => {
      reported.push(ms);
      expect(cpuMs).toBeGreaterThanOrEqual(0);
      resolve();
    });
    // a whole period late, wherever in it the stall begins
    Atomics.wait(
      new Int32Array(new SharedArrayBuffer(4)),
      0,
      0,
      clockLimits.stallCheckMs + clockLimits.stallMs + 100,
    );
  });
  stop();
  expect(reported).toHaveLength(1);
  expect(reported[0]).toBeGreaterThanOrEqual(clockLimits.stallMs);
});

test('a timer fires once, a cleared one never, and one over 2^31-1 ms not at once', async () => {
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

test('ids have 64 hex digits and tokens the requested length', () => {
  const random = realRandom();
  expect(random.id()).toMatch(/^[0-9a-f]{64}$/u);
  expect(random.id()).not.toBe(random.id());
  expect(random.token(20)).toMatch(/^[0-9a-f]{40}$/u);
});
