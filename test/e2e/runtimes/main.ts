// `sudo npm run runtimes [-- --only NAMES --suite critest|conformance --keep DIRECTORY --judge]`: each real runtime behind
// a handler, had by our own scripts, through critest and the conformance table. A result that does not pass needs a row
// in explained.ts; another one fails the command. Writes the block `runtimes` of docs/figures.md. `--keep` leaves the
// results in a directory, where a run of the other suite finds them; `--judge` only reads them there.
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkout } from '../../../scripts/support/checkout.ts';
import { commitAndDate } from '../../../scripts/support/figures.ts';
import type { Result } from '../../conformance-cri/run.ts';
import { BUILD_MS } from '../../support/patience.ts';
import { run } from '../../support/run.ts';
import type { Spec } from '../critest/report.ts';
import { explanations } from './explained.ts';
import { type Had, HANDLER, type Runtime, runtimes } from './handlers.ts';
import { judge, type Remark } from './judge.ts';
import { runWasm } from './wasm.ts';
import { type Counts, type Outcome, writeRuntimes } from './report.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    suite: { type: 'string' },
    keep: { type: 'string' },
    judge: { type: 'boolean', default: false },
  },
});

const configOf = ({ handler }: Had): string =>
  `[runtime]\ndefault_handler = "${HANDLER}"\n[runtime.handlers.${HANDLER}]\n${handler}\n`;

type State = Spec['state'];

function countsOf(states: readonly State[]): Counts {
  const count = (state: State): number => states.filter((one) => one === state).length;
  return { passed: count('passed'), failed: count('failed'), skipped: count('skipped') };
}

const leftIn = (text: string): Remark[] =>
  [...text.matchAll(/^left on the machine: (.*)$/gmu)].map(([, line = '']) => ({
    suite: 'left',
    state: 'left',
    // without the paths of this run
    name: line.replaceAll(/\/\S*\/trc\S*\//gu, '…/'),
    reason: line,
  }));

/** One spec or row. */
interface Ended {
  readonly name: string;
  readonly state: State;
  readonly reason: string;
}

const remarksOf = (suite: 'critest' | 'conformance', ended: readonly Ended[]): Remark[] =>
  ended.flatMap(({ name, state, reason }) => (state === 'passed' ? [] : [{ suite, state, name, reason }]));

/** Runs one of our own commands, shown as it runs. */
async function command(argv: readonly string[]): Promise<{ readonly stdout: string; readonly said: string }> {
  const { stdout, stderr } = await run([process.execPath, ...argv], {
    cwd: checkout,
    timeoutMs: BUILD_MS,
    onOutput: (chunk) => process.stderr.write(chunk),
  });
  return { stdout, said: stdout + stderr };
}

interface Ran {
  readonly version: string;
  /** Commit and day. */
  readonly at: string;
  readonly results: readonly Ended[];
  readonly left: readonly Remark[];
}

async function runCritest(config: string, directory: string): Promise<Pick<Ran, 'results' | 'left'>> {
  const report = join(directory, 'critest-report.json');
  const { said } = await command(['test/e2e/critest/main.ts', '--handler', config, '--report', report]);
  return { results: JSON.parse(await readFile(report, 'utf8')) as readonly Spec[], left: leftIn(said) };
}

async function runConformance(config: string): Promise<Pick<Ran, 'results' | 'left'>> {
  const { stdout, said } = await command([
    'test/conformance-cri/main.ts',
    '--config',
    config,
    '--handler',
    HANDLER,
    '--json',
  ]);
  const results = (JSON.parse(stdout) as readonly Result[]).map(
    ({ group, subject, claim, outcome, reason }) => ({
      name: `${group}: ${subject}: ${claim}`,
      state: outcome,
      reason,
    }),
  );
  return { results, left: leftIn(said) };
}

/** The kept result of the suite, after a run of it unless it is only read. */
async function suiteOf(
  suite: 'critest' | 'conformance',
  runtime: Runtime,
  directory: string,
): Promise<Ran | undefined> {
  const file = join(directory, `${suite}.json`);
  const isRun = !values.judge && (values.suite ?? suite) === suite;
  if (isRun) {
    const had = await runtime.have(directory);
    const config = join(directory, 'handler.toml');
    await writeFile(config, configOf(had));
    const ran = await (suite === 'critest' ? runCritest(config, directory) : runConformance(config));
    const whole: Ran = { ...ran, version: had.version, at: commitAndDate() };
    await writeFile(file, JSON.stringify(whole));
  }
  return existsSync(file) ? (JSON.parse(await readFile(file, 'utf8')) as Ran) : undefined;
}

async function runSuites(runtime: Runtime, directory: string): Promise<Outcome> {
  await mkdir(directory, { recursive: true });
  const [critest, conformance] = [
    await suiteOf('critest', runtime, directory),
    await suiteOf('conformance', runtime, directory),
  ];
  const ran = critest ?? conformance;
  if (ran === undefined) throw new Error(`no results in ${directory}`);
  const remarks = [
    ...remarksOf('critest', critest?.results ?? []),
    ...remarksOf('conformance', conformance?.results ?? []),
    ...(critest?.left ?? []),
    ...(conformance?.left ?? []),
  ];
  const countsIn = (one: Ran | undefined): Counts | undefined =>
    one === undefined ? undefined : countsOf(one.results.map(({ state }) => state));
  return {
    name: runtime.name,
    version: ran.version,
    at: [...new Set([critest?.at, conformance?.at])].filter((one) => one !== undefined).join(' and '),
    critest: countsIn(critest),
    conformance: countsIn(conformance),
    judged: judge(runtime.name, remarks, explanations),
  };
}

function print({ name, version, critest, conformance, judged }: Outcome): void {
  const text = (counts: Counts | undefined): string =>
    counts === undefined
      ? 'not run'
      : `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
  console.log(`${name} (${version}): critest ${text(critest)}; conformance ${text(conformance)}`);
  for (const [{ suite, why }, remarks] of judged.explained)
    console.log(`  ${suite}: ${remarks.length} explained: ${why}`);
  for (const { suite, state, name: what, reason } of judged.unexplained)
    console.log(`  NOT EXPLAINED: ${suite} ${state}: ${what}\n      ${reason.split('\n')[0] ?? ''}`);
}

async function main(): Promise<void> {
  const wanted = values.only?.split(',');
  const chosen = runtimes.filter(({ name }) => wanted?.includes(name) ?? true);
  const unknown =
    wanted?.filter((name) => name !== 'wasm' && !runtimes.some((one) => one.name === name)) ?? [];
  if (unknown.length > 0)
    throw new Error(
      `unknown: ${unknown.join(', ')}; there are ${runtimes.map(({ name }) => name).join(', ')}`,
    );
  const directory = values.keep ?? (await mkdtemp(join(tmpdir(), 'troupe-runtimes-')));
  const outcomes: Outcome[] = [];
  try {
    for (const runtime of chosen) {
      console.log(`==> ${runtime.name}`);
      const outcome = await runSuites(runtime, join(directory, runtime.name)).catch((error: unknown) => {
        console.log(`${runtime.name}: not run: ${error instanceof Error ? error.message : String(error)}`);
        process.exitCode = 1;
      });
      if (outcome === undefined) continue;
      print(outcome);
      outcomes.push(outcome);
      if (outcome.judged.unexplained.length > 0) process.exitCode = 1;
      // after each, so that a run that is ended keeps what it has; a run of one suite is for a later `--judge`
      if (values.suite === undefined)
        writeRuntimes(
          [outcome],
          runtimes.map(({ name }) => name),
        );
    }
  } finally {
    if (values.keep === undefined) await rm(directory, { recursive: true, force: true });
  }
  if (!values.judge && (wanted?.includes('wasm') ?? values.suite === undefined)) {
    await runWasm();
    console.log(
      'wasm: a module ran by crun with WasmEdge: its line is in the log; crun reports exit code 0 whatever the module says',
    );
  }
  const failed = outcomes.reduce((sum, { judged }) => sum + judged.unexplained.length, 0);
  console.log(`${outcomes.length} of ${chosen.length} runtimes run, ${failed} results not explained`);
}

if (process.getuid?.() === 0) await main();
else {
  console.error('the runtimes make pods, so they need root: sudo npm run runtimes');
  process.exitCode = 1;
}
