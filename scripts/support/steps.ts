// What `npm run check` and `npm test` have in common: steps that are run one after the other or side by side, shown as
// they run, and counted at the end.
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { skipText } from '../../test/support/skips/remedies.ts';
import { EXHAUSTIVE } from '../../test/support/exhaustive.ts';
import { checkout } from './checkout.ts';
import { type Ended, type Output, runShown } from './shown-program.ts';

/** Characters of a failed test's message that the last lines of the output repeat. */
const MESSAGE_CHARACTERS = 400;

/** What one step came to. A step without tests (types, lint) counts as one. */
export interface StepResult {
  readonly name: string;
  readonly seconds: number;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** One entry per failed test, `file > test: message`, or what else went wrong. */
  readonly failures: readonly string[];
  readonly skips: readonly string[];
  /** The reason of each skipped test that gives one. */
  readonly reasons?: readonly string[];
  /** The tests that the step leaves to `npm test`; not counted. */
  readonly left?: readonly string[];
}

export interface Step {
  readonly name: string;
  readonly run: (output: Output) => Promise<Omit<StepResult, 'name' | 'seconds'>>;
}

interface JsonTest {
  readonly fullName: string;
  readonly status: string;
  /** Of a failed test, each with its stack. */
  readonly failureMessages?: readonly string[];
  readonly tags?: readonly string[];
  /** `skipped`: the reason (test/support/skips). */
  readonly meta?: { readonly skipped?: string };
}

interface JsonReport {
  readonly success: boolean;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly JsonTest[];
  }[];
}

/** A step that passes when the program ends with 0. @param stillMs as for `runShown` */
export const programStep = (name: string, argv: readonly string[], stillMs?: number): Step => ({
  name,
  run: async (output) => {
    const { code, hang } = await runShown(argv, stillMs, undefined, output);
    const failures = code === 0 ? [] : [hang ?? `${argv.join(' ')} ended with ${code}`];
    return { passed: 1 - failures.length, failed: failures.length, skipped: 0, failures, skips: [] };
  },
});

interface TestsOf {
  /** Only these files; by default all of the projects. */
  readonly files?: readonly string[];
  /** True: without the tests of the tag EXHAUSTIVE. */
  readonly leavesExhaustive?: boolean;
}

/** A step of one or several vitest projects, run by the pinned Node; its counts are the tests'. */
export const vitestStep = (
  name: string,
  projects: readonly string[],
  { files = [], leavesExhaustive = false }: TestsOf = {},
): Step => ({
  name,
  run: async (output) => {
    const directory = await mkdtemp(join(tmpdir(), 'troupe-tests-'));
    try {
      const report = join(directory, 'report.json');
      const argv = [
        process.execPath,
        join(checkout, 'node_modules/vitest/vitest.mjs'),
        'run',
        ...files,
        ...projects.flatMap((project) => ['--project', project]),
        ...(leavesExhaustive ? [`--tags-filter=!${EXHAUSTIVE}`] : []),
        '--reporter=default',
        `--reporter=${join(import.meta.dirname, 'progress-reporter.ts')}`,
        '--reporter=json',
        `--outputFile.json=${report}`,
      ];
      const ended = await runShown(argv, undefined, undefined, output);
      const text = await readFile(report, 'utf8').catch(() => undefined);
      return countTests(name, ended, text, leavesExhaustive ? EXHAUSTIVE : undefined);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
});

/**
 * Counts a report of vitest's JSON reporter. A file that can't be loaded and a bad exit code are failures, too.
 * @param leftTag a skipped test with this tag was left out on purpose, and is named instead of counted
 */
export function countTests(
  name: string,
  { code, hang }: Ended,
  text: string | undefined,
  leftTag?: string,
): Omit<StepResult, 'name' | 'seconds'> {
  const failures: string[] = [];
  const skips: string[] = [];
  const reasons: string[] = [];
  const left: string[] = [];
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
      if (test.status === 'passed') {
        passed += 1;
        continue;
      }
      const isLeft = leftTag !== undefined && test.tags?.includes(leftTag) === true;
      const list = test.status === 'failed' ? failures : isLeft ? left : skips;
      const reason = test.meta?.skipped;
      const why = list === skips && reason !== undefined ? skipText(reason) : messageOf(test);
      list.push(`${file.name.replace(`${checkout}/`, '')} > ${test.fullName}${why === '' ? '' : `: ${why}`}`);
      if (list === skips && reason !== undefined) reasons.push(reason);
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
  const counts = { passed, failed: failures.length, skipped: skips.length, failures, skips, left };
  return reasons.length === 0 ? counts : { ...counts, reasons };
}

/** The first line says what failed; whoever has only the end of a log has no more than that. */
function messageOf({ failureMessages }: JsonTest): string {
  return (failureMessages?.[0] ?? '').split('\n', 1)[0]?.slice(0, MESSAGE_CHARACTERS) ?? '';
}

async function timed({ name, run }: Step, output: Output): Promise<StepResult> {
  const startedAt = performance.now();
  const counts = await run(output);
  return { name, seconds: (performance.now() - startedAt) / 1000, ...counts };
}

/** A signal has ended a step (shown-program.ts): no further one begins. */
const isInterrupted = (): boolean => process.exitCode === 130;

/** Runs the steps in order, each to its end even when an earlier one failed. */
export async function runSteps(steps: readonly Step[]): Promise<StepResult[]> {
  const results: StepResult[] = [];
  for (const step of steps) {
    if (isInterrupted()) break;
    console.log(`\n== ${step.name}`);
    results.push(await timed(step, 'inherit'));
  }
  return results;
}

/** As `runSteps`, but the output of each step is printed as a whole when the step has ended. */
export async function runQuietly(
  steps: readonly Step[],
  print: (text: string) => void = (text) => process.stdout.write(text),
): Promise<StepResult[]> {
  const directory = await mkdtemp(join(tmpdir(), 'troupe-steps-'));
  const results: StepResult[] = [];
  try {
    for (const step of steps) {
      if (isInterrupted()) break;
      const path = join(directory, 'output');
      const file = await open(path, 'w');
      try {
        results.push(await timed(step, file.fd));
      } finally {
        await file.close();
      }
      print(`\n== ${step.name}\n${await readFile(path, 'utf8')}`);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  return results;
}

/**
 * Runs all lists at once, each in its order: `shown` with its output as it comes, those beside it with the output of
 * a step when it has ended. The results of `shown` come last.
 */
export async function runSideBySide(
  shown: readonly Step[],
  ...beside: readonly (readonly Step[])[]
): Promise<StepResult[]> {
  const [loud, ...quiet] = await Promise.all([runSteps(shown), ...beside.map((steps) => runQuietly(steps))]);
  return [...quiet.flat(), ...loud];
}

/**
 * Prints a line per step, all failures by name, and as the last line `N passed, N failed[, N skipped]`.
 * @param seconds from the first step's start to the last one's end; by default their sum
 * @param notes lines printed before the last ones
 */
export function summarize(
  results: readonly StepResult[],
  seconds = results.reduce((sum, result) => sum + result.seconds, 0),
  notes: readonly string[] = [],
): void {
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
  for (const test of results.flatMap((result) => result.left ?? [])) console.log(`left to npm test: ${test}`);
  for (const skip of results.flatMap((result) => result.skips)) console.log(`skipped: ${skip}`);
  for (const failure of results.flatMap((result) => result.failures)) console.log(`FAILED: ${failure}`);
  for (const note of notes) console.log(note);
  console.log(`${seconds.toFixed(0)} s in all`);
  const isNothing = total.passed === 0;
  if (isNothing) console.log('not a single test ran');
  if (total.failed > 0 || isNothing) process.exitCode = 1;
  console.log(
    `${total.passed} passed, ${total.failed} failed${total.skipped > 0 ? `, ${total.skipped} skipped` : ''}`,
  );
}
