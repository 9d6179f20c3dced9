// `sudo npm test`: all tests. First what needs nothing (the same as `npm run check`), then what works on the machine
// with the real tools. The last line is plain: `N passed, N failed`. With `--figures` the skips go into
// docs/figures.md.
import { join } from 'node:path';
import { forgetTests } from '../test/support/faults/records.ts';
import { BUILD_MS } from '../test/support/patience.ts';
import { checkout } from './support/checkout.ts';
import { firstSteps } from './support/check-steps.ts';
import { endSafely } from './support/end-safely.ts';
import { currentFaultRows, faultSummary, neverHappened, textsOfTests } from './support/fault-rows.ts';
import { commitAndDate } from './support/figures.ts';
import { guestStep } from './support/guest-step.ts';
import { countSkips, readSkips, skipsSummary, writeAll } from './support/skips.ts';
import { programStep, runSideBySide, runSteps, summarize, vitestStep } from './support/steps.ts';
import { testedLine, testedLineOf } from './support/tested-commit.ts';

/** Go itself and three programs, each of which has a limit of its own that names it. */
const TOOLS_MS = 5 * BUILD_MS;

endSafely();
forgetTests();
const atStart = testedLine();
const first = [
  // ahead of the tests, so that a cold build is a step of its own (two minutes, once)
  programStep(
    'build crictl, runc and a shim',
    [process.execPath, join(checkout, 'test/support/tools/main.ts')],
    TOOLS_MS,
  ),
  ...firstSteps,
  vitestStep('simulation', ['sim']),
];
// These run one file at a time and wait for three quarters of it, on what a kernel, a runtime or a grace period takes:
// two of them at once take little longer than one. Each instance has names, directories and networks of its own.
const onTheMachine = {
  shown: [vitestStep('e2e', ['e2e'])],
  beside: [vitestStep('integration', ['integration']), vitestStep('security', ['security'])],
};
const results = [
  ...(await runSteps(first)),
  ...(await runSideBySide(onTheMachine.shown, onTheMachine.beside)),
  // its kernel and its machine take every core
  ...(await runSteps([guestStep])),
];
const faults = currentFaultRows(textsOfTests());
const ran = Object.fromEntries(
  results
    .filter(({ left }) => left !== undefined)
    .map(({ name, passed, failed, skipped, reasons = [] }) => [
      name,
      countSkips(commitAndDate(), passed + failed + skipped, reasons),
    ]),
);
const skips = { ...readSkips(), ...ran };
// before this run writes its own figures
const tested = testedLineOf(atStart, testedLine());
if (process.argv.includes('--figures')) writeAll(skips);
summarize(results, performance.now() / 1000, [
  ...neverHappened(faults).map((fault) => `never happened: ${fault}`),
  faultSummary(faults),
  skipsSummary(skips),
  tested,
]);
