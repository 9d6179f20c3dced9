import { describe, expect, it } from 'vitest';
import { HalfOpen } from '../../../src/base/half-open.ts';
import { halfOpenLimits } from '../../../src/base/bounds.ts';
import { HandClock } from '../../support/hand-clock.ts';

function bench(most = 100, mostBytes?: number) {
  const clock = new HandClock();
  const cut: string[] = [];
  const reports: number[] = [];
  const half = new HalfOpen<string>({
    clock,
    most,
    ...(mostBytes === undefined ? {} : { mostBytes }),
    cut: (one) => cut.push(one),
    report: (count) => reports.push(count),
  });
  const scan = (times: number): void => {
    for (let time = 0; time < times; time += 1) clock.fire(halfOpenLimits.scanMs);
  };
  return { clock, cut, reports, half, scan };
}

describe('peers that are half open', () => {
  it('S94 are cut within 10 s from their beginning, whatever they send; the scans end with the last of them', () => {
    expect(halfOpenLimits.scanMs * halfOpenLimits.scans).toBeLessThan(10_000);
    const { clock, cut, reports, half, scan } = bench();
    half.begin('a');
    scan(halfOpenLimits.scans - 1);
    half.begin('b');
    expect(cut).toEqual([]);
    scan(1);
    expect(cut).toEqual(['a']);
    scan(halfOpenLimits.scans - 1);
    expect([cut, half.size, clock.timers.size]).toEqual([['a', 'b'], 0, 0]);
    expect(reports.reduce((sum, count) => sum + count, 0)).toBe(2);
  });

  it('S94 one beyond the bound cuts the oldest, so that the newest is served', () => {
    const { cut, half } = bench(2);
    for (const name of ['a', 'b', 'c']) half.begin(name);
    expect([cut, half.size]).toEqual([['a'], 2]);
  });

  it('a peer that has sent enough, or has gone, is not cut; one past its time still counts', () => {
    const { clock, cut, half, scan } = bench(2);
    half.begin('done');
    half.end('done');
    half.begin('greeted');
    half.untime('greeted');
    scan(2 * halfOpenLimits.scans);
    expect([cut, half.size, clock.timers.size]).toEqual([[], 1, 0]);
    half.begin('b');
    half.begin('c');
    expect(cut).toEqual(['greeted']);
    half.close();
    expect(clock.timers.size).toBe(0);
  });

  it('a flood is one line in the log for each round of scans', () => {
    const { reports, half, scan } = bench(1);
    for (let round = 0; round < halfOpenLimits.scans; round += 1) {
      for (let peer = 0; peer < 50; peer += 1) half.begin(`${round} ${peer}`);
      scan(1);
    }
    expect(reports).toEqual([50 * halfOpenLimits.scans - 1]);
  });

  it('S94 S85 that have sent more bytes than all may together: the oldest are cut, until it fits', () => {
    const { cut, half } = bench(100, 10);
    for (const one of ['a', 'b', 'c']) half.begin(one);
    half.received('b', 4);
    half.received('c', 6);
    expect(cut).toEqual([]);
    half.received('c', 1);
    expect(cut).toEqual(['a', 'b']);
    // those that have ended or were cut count no more
    half.received('b', 100);
    half.received('c', 3);
    half.end('c');
    half.begin('d');
    half.received('d', 10);
    expect(cut).toEqual(['a', 'b']);
    half.received('d', 1);
    expect(cut).toEqual(['a', 'b', 'd']);
  });
});
