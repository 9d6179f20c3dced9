// Reports of life to systemd's watchdog, and what withholds them.
import { describe, expect, it } from 'vitest';
import { Conditions } from '../../../../src/base/conditions.ts';
import { silentLog } from '../../../../src/base/log.ts';
import { watchdogLimits } from '../../../../src/daemon/bounds.ts';
import { journalPart, reportLife } from '../../../../src/daemon/wiring/life.ts';
import type { Silence } from '../../../../src/daemon/wiring/life.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { never, turns } from '../../../support/turns.ts';

const WATCHDOG_MS = 10_000;

function bench(watchdogMs: number | undefined) {
  const clock = new HandClock();
  const conditions = new Conditions(silentLog);
  const part: { answer: Silence | undefined } = { answer: undefined };
  const lives: number[] = [];
  const end = reportLife({
    clock,
    log: silentLog,
    conditions,
    parts: [{ name: 'part', probe: async () => part.answer }],
    watchdogMs,
    keepAlive: () => lives.push(clock.nowMs),
  });
  const reported = (): readonly string[] =>
    conditions.all().map(({ subject, reason }) => `${subject}: ${reason}`);
  return { clock, part, lives, end, reported };
}

describe('life', () => {
  it('is reported at once and then at half of the watchdog’s time, until the end', async () => {
    const { clock, lives, end } = bench(WATCHDOG_MS);
    await clock.advance(2 * WATCHDOG_MS);
    expect(lives).toEqual([0, 5000, 10_000, 15_000, 20_000]);
    end();
    await clock.advance(2 * WATCHDOG_MS);
    expect(lives).toHaveLength(5);
  });

  it('is not reported while a part is silent that another process could repair, and is again afterwards', async () => {
    const { clock, part, lives, reported } = bench(WATCHDOG_MS);
    await turns();
    part.answer = { reason: 'does not answer', isRepairable: true };
    await clock.advance(WATCHDOG_MS);
    // the probe of the second round found it
    expect([lives, reported()]).toEqual([[0, 5000], ['part: does not answer']]);
    part.answer = undefined;
    await clock.advance(WATCHDOG_MS);
    expect([lives, reported()]).toEqual([[0, 5000, 20_000], []]);
  });

  it('is reported while a disk hangs, which is named', async () => {
    const { clock, part, lives, reported } = bench(WATCHDOG_MS);
    part.answer = { reason: 'the disk hangs', isRepairable: false };
    await clock.advance(WATCHDOG_MS);
    expect([lives, reported()]).toEqual([[0, 5000, 10_000], ['part: the disk hangs']]);
  });

  it('is not reported without a watchdog, where silent parts are named all the same', async () => {
    const { clock, part, lives, reported } = bench(undefined);
    part.answer = { reason: 'does not answer', isRepairable: true };
    await clock.advance(2 * watchdogLimits.everyMs);
    expect([lives, reported()]).toEqual([[], ['part: does not answer']]);
  });
});

describe('the journal as a part', () => {
  it('answers when its disk refuses, and is silent while it hangs: for the disk’s sake or its own', async () => {
    const clock = new HandClock();
    const found = async (probe: () => Promise<void>, diskCall?: { name: string; sinceMonoMs: number }) => {
      const silence = journalPart(clock, { probe, diskCall }).probe(100);
      await turns();
      await clock.advance(100);
      return silence;
    };
    expect(await found(async () => undefined)).toBeUndefined();
    expect(await found(() => Promise.reject(new Error('EIO')))).toBeUndefined();
    const sinceMonoMs = clock.nowMs;
    expect(await found(never, { name: 'fdatasync', sinceMonoMs })).toEqual({
      reason: 'the disk has not answered fdatasync for 100 ms',
      isRepairable: false,
    });
    expect(await found(never)).toMatchObject({ isRepairable: true });
  });

  it('is not asked again while it hangs, and answers once the disk does', async () => {
    const clock = new HandClock();
    const answer = Promise.withResolvers<void>();
    let asked = 0;
    const part = journalPart(clock, {
      probe: () => {
        asked += 1;
        return answer.promise;
      },
      diskCall: { name: 'write', sinceMonoMs: 0 },
    });
    for (const _round of [1, 2]) {
      const silence = part.probe(100);
      await clock.advance(100);
      expect(await silence).toBeDefined();
    }
    answer.resolve();
    expect([await part.probe(100), asked]).toEqual([undefined, 1]);
  });
});
