// Steps of a test that have to come within a bound of the product, such as an exec's timeout: a machine that stands
// still for so long can't show what comes then.
import type { TestContext } from 'vitest';
import { skipHere } from './unless.ts';

/** Skips the test that is running: `what` happened first. */
export function stoodStill(context: TestContext, what: string): void {
  skipHere(context, `needs a machine that does not stand still: ${what}`);
}
