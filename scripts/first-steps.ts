// `npm run first-steps`: plays the first steps of a new user and writes what they print to docs/first-steps.md.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from './support/checkout.ts';
import { firstSteps } from './support/first-steps.ts';

writeFileSync(join(checkout, 'docs/first-steps.md'), await firstSteps());
