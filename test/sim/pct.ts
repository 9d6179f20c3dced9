/**
 * How often one run finds each planted bug: with a fair draw, and with priorities and d − 1 changes of them (PCT). The
 * bound is that of Burckhardt et al., 2010, for n kinds of thing and k steps: 1 / (n · k^(d − 1)).
 */
import { MUTANTS } from './planted.ts';
import type { Mutant } from './planted.ts';
import { runSeed } from './seeds.ts';

export interface Detection {
  readonly mutant: Mutant;
  /** Share of the runs that found it. */
  readonly random: number;
  /** By depth, from 1. */
  readonly pct: readonly number[];
  readonly bounds: readonly number[];
}

const DEPTHS = [1, 2, 3] as const;

/** Runs `runs` seeds for each planted bug and each way to draw. */
export async function detections(runs: number, done: (row: Detection) => void): Promise<void> {
  for (const mutant of MUTANTS) {
    const random = await measure(mutant, runs, undefined);
    const pct = [];
    for (const depth of DEPTHS) pct.push(await measure(mutant, runs, depth));
    done({
      mutant,
      random: random.share,
      pct: pct.map(({ share }) => share),
      bounds: pct.map(({ kinds, steps }, at) => 1 / (kinds * steps ** at)),
    });
  }
}

async function measure(
  mutant: Mutant,
  runs: number,
  depth: number | undefined,
): Promise<{ readonly share: number; readonly kinds: number; readonly steps: number }> {
  let found = 0;
  let steps = 0;
  let kinds = 0;
  for (let seed = 1; seed <= runs; seed += 1) {
    const result = await runSeed(
      seed,
      depth === undefined ? { mutant } : { mutant, mode: 'pct', changes: depth - 1 },
    );
    if (result.failure !== undefined) found += 1;
    steps += result.steps;
    kinds += result.world.scheduler.kinds;
  }
  return { share: found / runs, kinds: Math.max(1, kinds / runs), steps: Math.max(1, steps / runs) };
}
