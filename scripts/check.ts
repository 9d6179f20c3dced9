// `npm run check`: types, lint, tidy, unit, golden, model and 200 simulated seeds. No root, at most a minute.
import { checkSteps } from './support/check-steps.ts';
import { runSteps, summarize } from './support/steps.ts';

summarize(await runSteps(checkSteps));
