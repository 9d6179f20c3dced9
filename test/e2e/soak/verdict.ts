/** Whether a soak's curves are flat: pure functions of the samples. */
import { median, quantile } from '../../bench/stats.ts';
import type { Held, Sample } from './sample.ts';

const MIB = 1024 * 1024;
/** Seconds that a process must have lived so that its own memory is judged: its first minutes load and compile. */
const LONG_S = 600;

/** A curve that is judged. Bounds are wide enough for what V8 and malloc breathe, and for pods that come and go. */
export interface Curve {
  readonly name: string;
  readonly unit: string;
  readonly of: (sample: Sample) => number;
  /** What stands for a part of the run: of a saw-tooth its peaks or its valleys. */
  readonly by: (values: readonly number[]) => number;
  /** So much more than in the second sixth may be in the last third. */
  readonly mayGrow: number;
}

const valley = (values: readonly number[]): number => quantile(values, 0.1);
const peak = (values: readonly number[]): number => quantile(values, 1);

export const MEMORY: readonly Curve[] = [
  { name: 'PSS', unit: 'MiB', of: (s) => s.pss, by: median, mayGrow: 24 },
  { name: 'RSS', unit: 'MiB', of: (s) => s.rss, by: median, mayGrow: 24 },
  { name: 'anonymous memory', unit: 'MiB', of: (s) => s.anonymous, by: median, mayGrow: 24 },
  { name: 'JavaScript heap after collections', unit: 'MiB', of: (s) => s.heap, by: valley, mayGrow: 8 },
  { name: 'descriptors', unit: '', of: (s) => s.descriptors, by: median, mayGrow: 10 },
  { name: 'threads', unit: '', of: (s) => s.threads, by: median, mayGrow: 4 },
];

const held = (name: string, key: keyof Held, mayGrow: number): Curve => ({
  name,
  unit: '',
  of: (sample) => sample.held[key],
  by: median,
  mayGrow,
});

/** What outlives a kill of the daemon. */
export const LASTING: readonly Curve[] = [
  // compacted after 16 MiB, with the old file beside the new one for a moment
  { name: 'journal, peak', unit: 'MiB', of: (s) => s.journal / MIB, by: peak, mayGrow: 20 },
  { name: 'actors', unit: '', of: (s) => s.actors, by: median, mayGrow: 4 },
  { name: 'image store', unit: 'MiB', of: (s) => s.imageBytes / MIB, by: valley, mayGrow: 1 },
  { name: 'files of the image store', unit: '', of: (s) => s.imageFiles, by: valley, mayGrow: 4 },
  held('mounts', 'mounts', 8),
  held('directories of pinned namespaces', 'namespaces', 3),
  held('cgroups', 'cgroups', 8),
  held('leases of addresses', 'leases', 3),
  held('monitors', 'monitors', 4),
];

export interface Judged {
  readonly name: string;
  readonly unit: string;
  readonly early: number;
  readonly late: number;
  readonly mayGrow: number;
  readonly isFlat: boolean;
}

/** The second sixth, when all is loaded and compiled, and the last third. */
export function compared(samples: readonly Sample[]): {
  readonly early: readonly Sample[];
  readonly late: readonly Sample[];
} {
  const part = (from: number, to: number): readonly Sample[] =>
    samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * to));
  return { early: part(1 / 6, 1 / 3), late: part(2 / 3, 1) };
}

/** The last third beside the second sixth. */
export function judge(curve: Curve, samples: readonly Sample[]): Judged {
  const { early: first, late: last } = compared(samples);
  const of = (part: readonly Sample[]): number =>
    curve.by(part.map(curve.of).filter((value) => !Number.isNaN(value)));
  const [early, late] = [of(first), of(last)];
  const { name, unit, mayGrow } = curve;
  return { name, unit, early, late, mayGrow, isFlat: late <= early + mayGrow };
}

/** The samples of each process that lived for long enough, with the minutes between which it did. */
export function longProcesses(
  samples: readonly Sample[],
): readonly { readonly from: number; readonly to: number; readonly samples: readonly Sample[] }[] {
  return [...Map.groupBy(samples, ({ pid }) => pid).values()]
    .map((of) => ({ from: (of[0]?.at ?? 0) / 60, to: (of.at(-1)?.at ?? 0) / 60, samples: of }))
    .filter(({ from, to }) => (to - from) * 60 >= LONG_S);
}

/** At rest after the load beside at rest before it: what must be equal, and is not. */
export function restDifferences(before: Sample, after: Sample): readonly string[] {
  const keys = Object.keys(before.held) as (keyof Held)[];
  return [
    ...keys
      .filter((key) => before.held[key] !== after.held[key])
      .map((key) => `${key}: ${before.held[key]} before the load, ${after.held[key]} after it`),
    ...(before.actors === after.actors
      ? []
      : [`actors: ${before.actors} before the load, ${after.actors} after it`]),
  ];
}
