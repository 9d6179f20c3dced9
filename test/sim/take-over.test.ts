/** Short form of `npm run sim -- --take-overs`: another daemon takes over at each effect, and one of the two dies. */
import { describe, expect, it } from 'vitest';
import { injects } from '../support/faults/injects.ts';
import { sweepTakeOvers } from './take-over-sweep.ts';
import type { TakeOverSweep } from './take-over-sweep.ts';

const cut = injects(
  'F92',
  'the end of either daemon, or of the machine, at a step of a take-over, simulated',
);

const reported = ({ failures }: TakeOverSweep): readonly string[] =>
  failures.map(({ point, failure }) => `${JSON.stringify(point)} ${failure.invariant} ${failure.detail}`);

describe('take-overs', () => {
  it('F92 no call fails when another daemon takes over, whatever is under way', async () => {
    const result = await sweepTakeOvers({ effects: 8, deathsIn: Infinity, steps: 1 });
    expect(reported(result)).toStrictEqual([]);
    expect(result.takeOvers).toBeGreaterThan(60);
    expect(result.handedOver).toBe(result.takeOvers);
  });

  it('F92 either daemon, or the machine, dies at any step of a take-over: one serves, and nothing is lost', async () => {
    const result = await sweepTakeOvers({ effects: 31, deathsIn: 1, steps: 41, scenarios: [0, 6] });
    expect(reported(result)).toStrictEqual([]);
    expect(result.deaths).toBeGreaterThan(30);
    cut.happened(result.deaths);
  });
});
