/** The planted faults are found; the command line prints the mean number of events with `npm run sim -- --mutants`. */
import { describe, expect, it } from 'vitest';
import { hunt } from './mutants.ts';
import { MUTANTS } from './planted.ts';

describe('mutants of the simulation', () => {
  it.each(MUTANTS)('%s is found from each of three seeds', async (mutant) => {
    const { found, meanEvents, first } = await hunt(mutant, 3);
    expect(found).toBe(3);
    expect(meanEvents).toBeLessThan(250_000);
    expect(first?.invariant).toMatch(/^[IF]\d+$/u);
  });
});
