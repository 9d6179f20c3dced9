// `sudo npm run runtimes [-- --only NAMES] [--keep DIRECTORY]`: each real runtime behind a handler, had by our own
// scripts, through critest and the conformance table. A result that does not pass needs a row in explained.ts; another
// one fails the command. Writes the block `runtimes` of docs/figures.md.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkout } from '../../../scripts/support/checkout.ts';
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
  options: { only: { type: 'string' }, keep: { type: 'string' } },
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
    name: line,
    reason: line,
  }));

const remarksOf = (
  suite: 'critest' | 'conformance',
  ended: readonly { readonly name: string; readonly state: State; readonly reason: string }[],
): Remark[] =>
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

async function runSuites(runtime: Runtime, directory: string): Promise<Outcome> {
  await mkdir(directory, { recursive: true });
  const had = await runtime.have(directory);
  const [config, report] = [join(directory, 'handler.toml'), join(directory, 'critest.json')];
  await writeFile(config, configOf(had));
  const validated = await command(['test/e2e/critest/main.ts', '--handler', config, '--report', report]);
  const specs = JSON.parse(await readFile(report, 'utf8')) as readonly Spec[];
  const table = await command([
    'test/conformance-cri/main.ts',
    '--config',
    config,
    '--handler',
    HANDLER,
    '--json',
  ]);
  await writeFile(join(directory, 'conformance.json'), table.stdout);
  const rows = (JSON.parse(table.stdout) as readonly Result[]).map(
    ({ group, subject, claim, outcome, reason }) => ({
      name: `${group}: ${subject}: ${claim}`,
      state: outcome,
      reason,
    }),
  );
  const remarks = [
    ...remarksOf('critest', specs),
    ...remarksOf('conformance', rows),
    ...leftIn(validated.said + table.said),
  ];
  return {
    name: runtime.name,
    version: had.version,
    critest: countsOf(specs.map(({ state }) => state)),
    conformance: countsOf(rows.map(({ state }) => state)),
    judged: judge(runtime.name, remarks, explanations),
  };
}

function print({ name, version, critest, conformance, judged }: Outcome): void {
  const text = ({ passed, failed, skipped }: Counts): string =>
    `${passed} passed, ${failed} failed, ${skipped} skipped`;
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
      // after each, so that a run that is ended keeps what it has
      writeRuntimes(
        [outcome],
        runtimes.map(({ name }) => name),
      );
    }
  } finally {
    if (values.keep === undefined) await rm(directory, { recursive: true, force: true });
  }
  if (wanted === undefined || wanted.includes('wasm')) {
    await runWasm();
    console.log(
      'wasm: a module ran by crun with WasmEdge: its line is in the log, its exit code in the status',
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
