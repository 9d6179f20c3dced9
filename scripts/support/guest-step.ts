// The step of `npm test` in a guest with systemd and cgroup v2 alone: one part, where the guest is built already.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkout } from './checkout.ts';
import { runShown } from './shown-program.ts';
import type { Step, StepResult } from './steps.ts';

/** Takes two minutes; the others are `npm run test:vm`. */
const PART = 'systemd';

/** Skipped with the reason where there is no guest; building one takes twenty minutes, which no test does. */
export const guestStep: Step = {
  name: 'guest',
  run: async (output) => {
    const directory = await mkdtemp(join(tmpdir(), 'troupe-guest-'));
    try {
      const report = join(directory, 'report.json');
      const argv = [
        process.execPath,
        join(checkout, 'test/vm/main.ts'),
        ...['--cached', '--anew', '--only', PART, '--report', report],
      ];
      const { code, hang } = await runShown(argv, undefined, undefined, output);
      const text = await readFile(report, 'utf8').catch(() => undefined);
      return countGuest(text, hang ?? `the guest's program ended with ${code} and left no report`);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
};

/**
 * The counts of `--report`: a list of results, a part each.
 * @param missing what to say where there is no report
 */
export function countGuest(text: string | undefined, missing: string): Omit<StepResult, 'name' | 'seconds'> {
  const parts =
    text === undefined
      ? [{ passed: 0, failed: 1, skipped: 0, failures: [missing], skips: [] }]
      : (JSON.parse(text) as readonly StepResult[]);
  const sum = (of: 'passed' | 'failed' | 'skipped'): number => parts.reduce((all, one) => all + one[of], 0);
  return {
    passed: sum('passed'),
    failed: sum('failed'),
    skipped: sum('skipped'),
    failures: parts.flatMap(({ failures }) => failures),
    skips: parts.flatMap(({ skips }) => skips),
    reasons: parts.flatMap((one) => ('reasons' in one ? (one.reasons ?? []) : [])),
    // in the table of skips
    left: [],
  };
}
