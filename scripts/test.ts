// `sudo npm test`: all tests. First what needs nothing (the same as `npm run check`), then what works on the machine
// with the real tools. The last line is plain: `N passed, N failed`.
import { join } from 'node:path';
import { firstSteps } from './support/check-steps.ts';
import { checkout, programStep, runSteps, summarize, vitestStep } from './support/steps.ts';

summarize(
  await runSteps([
    // ahead of the tests, so that a cold build is a step of its own (two minutes, once)
    programStep('build crictl, runc and a shim', [
      process.execPath,
      join(checkout, 'test/support/tools/main.ts'),
    ]),
    ...firstSteps,
    vitestStep('simulation', ['sim']),
    vitestStep('integration', ['integration']),
    vitestStep('e2e', ['e2e']),
    vitestStep('security', ['security']),
  ]),
);
