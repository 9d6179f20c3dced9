import { describe, expect, it } from 'vitest';
import { quantile } from '../../bench/stats.ts';
import type { Sample } from '../../e2e/soak/sample.ts';
import { type Curve, judge, longProcesses, restDifferences } from '../../e2e/soak/verdict.ts';

const sample = (at: number, more: Partial<Sample> = {}): Sample => ({
  at,
  pid: 1,
  rss: 100,
  pss: 80,
  anonymous: 70,
  heap: 20,
  descriptors: 50,
  accounting: 0,
  threads: 25,
  cpu: 1,
  journal: 0,
  actors: 10,
  imageBytes: 0,
  imageFiles: 0,
  lag: { p999: 1, max: 2 },
  held: { pods: 3, containers: 3, mounts: 9, namespaces: 3, cgroups: 6, leases: 3, monitors: 3 },
  calls: {},
  ...more,
});

const PSS: Curve = { name: 'PSS', unit: 'MiB', of: (s) => s.pss, by: (all) => quantile(all, 1), mayGrow: 10 };
const run = (pss: (index: number) => number): readonly Sample[] =>
  Array.from({ length: 60 }, (_none, index) => sample(index * 10, { pss: pss(index) }));

describe('the verdict of a soak', () => {
  it('compares the last third with the second sixth', () => {
    // what grows at the start does not count, nor what happens in between
    expect(
      judge(
        PSS,
        run((index) => (index < 10 ? 10 * index : index > 25 && index < 35 ? 500 : 100)),
      ),
    ).toEqual({
      name: 'PSS',
      unit: 'MiB',
      early: 100,
      late: 100,
      mayGrow: 10,
      isFlat: true,
    });
    expect(
      judge(
        PSS,
        run((index) => 100 + index),
      ),
    ).toMatchObject({ early: 119, late: 159, isFlat: false });
  });

  it('leaves out what could not be measured', () => {
    expect(
      judge(
        PSS,
        run((index) => (index % 2 === 0 ? Number.NaN : 100)),
      ),
    ).toMatchObject({ isFlat: true });
    expect(
      judge(
        PSS,
        run(() => Number.NaN),
      ).isFlat,
    ).toBe(false);
  });

  it('finds the processes that lived for long, not those between two kills', () => {
    const pids = [1, 1, 2, 2, ...Array<number>(20).fill(3), 4, 4, ...Array<number>(12).fill(5)];
    const long = longProcesses(pids.map((pid, index) => sample(index * 60, { pid })));
    expect(long.map(({ from, to, samples }) => [from, to, samples.length])).toEqual([
      [4, 23, 20],
      [26, 37, 12],
    ]);
  });

  it('wants everything of the machine as before the load', () => {
    const before = sample(0);
    expect(restDifferences(before, sample(0, { pss: 200 }))).toEqual([]);
    expect(
      restDifferences(before, sample(0, { actors: 11, held: { ...before.held, leases: 4, mounts: 8 } })),
    ).toEqual([
      'mounts: 9 before the load, 8 after it',
      'leases: 3 before the load, 4 after it',
      'actors: 10 before the load, 11 after it',
    ]);
  });
});
