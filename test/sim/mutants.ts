/** Planted faults of ours: a simulation that does not find them proves nothing. */
import { runSeed } from './seeds.ts';
import type { Failure } from './run.ts';
import type { Mutant } from './planted.ts';

export interface Hunt {
  readonly mutant: Mutant;
  readonly hunts: number;
  readonly found: number;
  /** Over the hunts that found it. */
  readonly meanEvents: number;
  readonly first: Failure | undefined;
}

/** Seeds after which a hunt has failed. The rarest bug, `startRetried`, takes 70 seeds on average, and up to 143. */
const SEEDS_EACH = 500;
/** Seeds between the begins of two hunts. */
const APART = 10_000;

/** Runs seed after seed until the mutant is found, `hunts` times from different seeds. */
export async function hunt(mutant: Mutant, hunts: number): Promise<Hunt> {
  let found = 0;
  let events = 0;
  let first: Failure | undefined;
  for (let n = 0; n < hunts; n += 1) {
    let so = 0;
    for (let seed = n * APART + 1; seed <= n * APART + SEEDS_EACH; seed += 1) {
      const { failure, steps } = await runSeed(seed, { mutant });
      so += steps;
      if (failure === undefined) continue;
      first ??= failure;
      found += 1;
      events += so;
      break;
    }
  }
  return { mutant, hunts, found, meanEvents: found === 0 ? 0 : Math.round(events / found), first };
}
