// The first steps of a new user print what docs/first-steps.md shows.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { firstSteps } from '../../../scripts/support/first-steps.ts';
import { comparable } from '../../../scripts/support/transcript.ts';
import { checkout } from '../../support/tools/cache.ts';

it('docs/first-steps.md is what its commands print (npm run first-steps writes it)', async () => {
  const page = readFileSync(join(checkout, 'docs/first-steps.md'), 'utf8');
  expect(comparable(await firstSteps())).toBe(comparable(page));
});
