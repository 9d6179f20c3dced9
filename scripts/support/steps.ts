// What `npm run check` and `npm test` have in common: steps that are run one after the other, shown as they run, and
// counted at the end.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkout } from './checkout.ts';
import { type Ended, runShown } from './shown-program.ts';

/** What one step came to. A step without tests (types, lint) counts as one. */
export interface StepResult {
  readonly name: string;
  readonly seconds: number;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** One entry per failed test, `file > test`, or what else went wrong. */
  readonly failures: readonly string[];
  readonly skips: readonly string[];
}

export interface Step {
  readonly name: string;
  readonly run: () => Promise<Omit<StepResult, 'name' | 'seconds'>>;
}

interface JsonReport {
  readonly success: boolean;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** A step that passes when the program ends with 0. @param stillMs as for `runShown` */
export const programStep = (name: string, argv: readonly string[], stillMs?: number): Step => ({
  name,
  run: async () => {
    const { code, hang } = await runShown(argv, stillMs);
    const failures = code === 0 ? [] : [hang ?? `${argv.join(' ')} ended with ${code}`];
    return { passed: 1 - failures.length, failed: failures.length, skipped: 0, failures, skips: [] };
  },
});

/**
 * A step of one or several vitest projects, or only of the files named, run by the pinned Node; its counts are the
 * tests'.
 */
export const vitestStep = (
  name: string,
  projects: readonly string[],
  files: readonly string[] = [],
): Step => ({
  name,
  run: async () => {
    const directory = await mkdtemp(join(tmpdir(), 'troupe-tests-'));
    try {
      const report = join(directory, 'report.json');
      const argv = [
        process.execPath,
        join(checkout, 'node_modules/vitest/vitest.mjs'),
        'run',
        ...files,
        ...projects.flatMap((project) => ['--project', project]),
        '--reporter=default',
        `--reporter=${join(import.meta.dirname, 'progress-reporter.ts')}`,
        '--reporter=json',
        `--outputFile.json=${report}`,
      ];
      const ended = await runShown(argv);
      return countTests(name, ended, await readFile(report, 'utf8').catch(() => undefined));
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
});

/** Counts a report of vitest's JSON reporter. A file that can't be loaded and a bad exit code are failures, too. */
export function countTests(
  name: string,
  { code, hang }: Ended,
  text: string | undefined,
): Omit<StepResult, 'name' | 'seconds'> {
  const failures: string[] = [];
  const skips: string[] = [];
  let passed = 0;
  if (text === undefined)
    return {
      passed,
      failed: 1,
      skipped: 0,
      failures: [hang ?? `vitest wrote no report for ${name} (exit code ${code})`],
      skips,
    };
  const report = JSON.parse(text) as JsonReport;
  for (const file of report.testResults) {
    const failuresBefore = failures.length;
    for (const test of file.assertionResults) {
      if (test.status === 'passed') passed += 1;
      else
        (test.status === 'failed' ? failures : skips).push(
          `${file.name.replace(`${checkout}/`, '')} > ${test.fullName}`,
        );
    }
    const isUnexplained = file.status === 'failed' && failures.length === failuresBefore;
    if (isUnexplained)
      failures.push(`${file.name.replace(`${checkout}/`, '')}: ${file.message || 'could not be run'}`);
  }
  if (failures.length === 0 && (code !== 0 || !report.success)) {
    failures.push(
      `vitest ended with ${code} for ${name} although no test failed: an error outside the tests, shown above`,
    );
  }
  if (passed + failures.length + skips.length === 0) failures.push(`${name}: not a single test was found`);
  return { passed, failed: failures.length, skipped: skips.length, failures, skips };
}

/** Runs the steps in order, each to its end even when an earlier one failed. */
export async function runSteps(steps: readonly Step[]): Promise<StepResult[]> {
  const results: StepResult[] = [];
  for (const step of steps) {
    console.log(`\n== ${step.name}`);
    const startedAt = performance.now();
    const counts = await step.run();
    results.push({ name: step.name, seconds: (performance.now() - startedAt) / 1000, ...counts });
    if (process.exitCode === 130) break;
  }
  return results;
}

/** Prints a line per step, all failures by name, and as the last line `N passed, N failed[, N skipped]`. */
export function summarize(results: readonly StepResult[]): void {
  const total = { passed: 0, failed: 0, skipped: 0 };
  console.log('\nstep                         seconds  passed  failed  skipped');
  for (const { name, seconds, passed, failed, skipped } of results) {
    console.log(
      `${name.padEnd(28)} ${seconds.toFixed(1).padStart(7)} ${String(passed).padStart(7)} ${String(failed).padStart(7)} ${String(skipped).padStart(8)}`,
    );
    total.passed += passed;
    total.failed += failed;
    total.skipped += skipped;
  }
  for (const skip of results.flatMap((result) => result.skips)) console.log(`skipped: ${skip}`);
  for (const failure of results.flatMap((result) => result.failures)) console.log(`FAILED: ${failure}`);
  const seconds = results.reduce((sum, result) => sum + result.seconds, 0);
  console.log(`${seconds.toFixed(0)} s in all`);
  const isNothing = total.passed === 0;
  if (isNothing) console.log('not a single test ran');
  if (total.failed > 0 || isNothing) process.exitCode = 1;
  console.log(
    `${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}`,
  );
}
