// `npm run check`: types, lint, tidy, unit, model and 40 simulated seeds. No root; a minute on two cores.
import { checkSteps } from './support/check-steps.ts';
import { runSideBySide, summarize } from './support/steps.ts';

const results = await runSideBySide(checkSteps.shown, ...checkSteps.beside);
// since this process began
summarize(results, performance.now() / 1000);
