// One copy of the checkout in which guards are taken out and put back, and runs of tests in it.
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkout } from '../../scripts/support/checkout.ts';
import { run } from '../support/run.ts';
import { cacheDirectory } from '../support/tools/cache.ts';
import { type Mutant, type NamedTest, projectOf, withoutGuard } from './mutant.ts';

/** What a copy does without, or shares. A bundle would hide what was changed in src. */
const LEFT_OUT: readonly string[] = ['.git', 'dist'];
const SHARED: readonly string[] = ['node_modules', '.cache'];
/** A test of the machine starts a daemon and a registry, some ten seconds when nothing else runs. */
const RUN_TIMEOUT_MS = 4 * 60_000;
/** A test that waits for what its mutant never does must give up before the run is ended, which leaves no report. */
const PATIENCE = '0.2';

export interface Copy {
  readonly directory: string;
  readonly remove: () => Promise<void>;
}

/** Tests that are left out by their names do not clean up what their files made. Short: paths of sockets lie below. */
const temporaryOf = (directory: string): string => join(directory, 't');

/** The files of the checkout as they are now, edited ones included. */
export async function makeCopy(): Promise<Copy> {
  const directory = await mkdtemp(join(tmpdir(), 'troupe-m-'));
  const remove = async (): Promise<void> => await rm(directory, { recursive: true, force: true });
  try {
    await mkdir(temporaryOf(directory));
    for (const name of await readdir(checkout)) {
      if (LEFT_OUT.includes(name)) continue;
      if (SHARED.includes(name)) await symlink(join(checkout, name), join(directory, name));
      else await cp(join(checkout, name), join(directory, name), { recursive: true });
    }
  } catch (error) {
    await remove();
    throw error;
  }
  return { directory, remove };
}

export interface Outcome {
  /** Names of the tests. */
  readonly passed: readonly string[];
  readonly failed: readonly string[];
  /** Why no test ran, where none did. */
  readonly trouble: string;
  readonly seconds: number;
}

interface JsonReport {
  readonly testResults: readonly {
    readonly message: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** What stands before a program that must not write to the machine's own files. */
function guarded(directory: string): readonly string[] {
  if (process.getuid?.() !== 0) return [];
  return [
    'unshare',
    '--mount',
    '--propagation',
    'private',
    process.execPath,
    join(directory, 'test/mutants/read-only.ts'),
    directory,
  ];
}

/** Runs the tests of these files whose names match. */
export async function runTests({ directory }: Copy, tests: readonly NamedTest[]): Promise<Outcome> {
  const report = join(directory, 'report.json');
  await rm(report, { force: true });
  const startedAt = performance.now();
  const ended = await run(
    [
      ...guarded(directory),
      process.execPath,
      join(directory, 'node_modules/vitest/vitest.mjs'),
      'run',
      ...new Set(tests.map(({ file }) => file)),
      ...[...new Set(tests.map(projectOf))].flatMap((project) => ['--project', project]),
      '-t',
      tests.map(({ named }) => named).join('|'),
      '--reporter=json',
      `--outputFile.json=${report}`,
      // no files in node_modules, which both copies share with the checkout
      '--configLoader',
      'runner',
      '--no-cache',
      '--fsModuleCachePath',
      join(directory, 'module-cache'),
    ],
    {
      cwd: directory,
      env: {
        NODE_OPTIONS: undefined,
        NO_COLOR: '1',
        FORCE_COLOR: undefined,
        TROUPE_CACHE: cacheDirectory,
        TMPDIR: temporaryOf(directory),
        TROUPE_TEST_PATIENCE: PATIENCE,
      },
      timeoutMs: RUN_TIMEOUT_MS,
    },
  );
  const seconds = (performance.now() - startedAt) / 1000;
  const text = await readFile(report, 'utf8').catch(() => undefined);
  if (text === undefined)
    return {
      passed: [],
      failed: [],
      trouble: `vitest ended with ${ended.code}: ${(ended.stderr || ended.stdout).slice(-1000).trim()}`,
      seconds,
    };
  const { testResults } = JSON.parse(text) as JsonReport;
  const named = (status: string): string[] =>
    testResults.flatMap((file) =>
      file.assertionResults.filter((test) => test.status === status).map(({ fullName }) => fullName),
    );
  return {
    passed: named('passed'),
    failed: named('failed'),
    trouble: testResults
      .map(({ message }) => message)
      .join('\n')
      .trim(),
    seconds,
  };
}

export type Verdict =
  | { readonly killed: true; readonly seconds: number }
  /** `why` is empty when the test passed without the guard. */
  | { readonly killed: false; readonly seconds: number; readonly why: string };

/**
 * Takes the guard out, runs the test, puts it back. Only a test that fails kills: a file that cannot be loaded does
 * not.
 */
export async function tryMutant(copy: Copy, mutant: Mutant): Promise<Verdict> {
  const path = join(copy.directory, mutant.file);
  const text = await readFile(path, 'utf8');
  await writeFile(path, withoutGuard(text, mutant));
  try {
    const { passed, failed, trouble, seconds } = await runTests(copy, [mutant.test]);
    if (failed.length > 0) return { killed: true, seconds };
    return { killed: false, seconds, why: passed.length > 0 ? '' : `no test ran: ${trouble.slice(0, 500)}` };
  } finally {
    await writeFile(path, text);
  }
}
