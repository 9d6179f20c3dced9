// `sudo npm test`: all tests. First what needs nothing (the same as `npm run check`), then what works on the machine
// with the real tools. The last line is plain: `N passed, N failed`.
import { join } from 'node:path';
import { firstSteps } from './support/check-steps.ts';
import { checkout, programStep, runSteps, summarize, vitestStep } from './support/steps.ts';

const MINUTE_MS = 60_000;

summarize(
  await runSteps([
    // Ahead of the tests, since their time bounds are not made for a cold build (two minutes, once).
    programStep('build crictl, runc and a shim', [process.execPath, join(checkout, 'test/support/tools/main.ts')], 30 * MINUTE_MS),
    ...firstSteps,
    vitestStep('simulation', ['sim'], 10 * MINUTE_MS),
    vitestStep('integration', ['integration'], 20 * MINUTE_MS),
    vitestStep('e2e', ['e2e'], 30 * MINUTE_MS),
    vitestStep('security', ['security'], 20 * MINUTE_MS),
  ]),
);
