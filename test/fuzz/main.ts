// `npm run fuzz -- <target>|all [--minutes N] [--seed S] [--at-once N]`: inputs changed until the time is over, by
// coverage where the target learns. `--blind` runs a target of the older form by seed alone, `--case N` one case of it
// again; `--input FILE` runs a stored input again, `--unreached` lists the lines that a learning run has not reached,
// `--seeds` writes what the corpus begins with. A run of a minute or longer writes its figures and, where it learns,
// its corpus.
import { parseArgs } from 'node:util';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFigures } from '../../scripts/support/figures.ts';
import { checkout } from '../support/tools/cache.ts';
import { corpusOf, plantSeeds, targets } from './cases.ts';
import { clearUp, learnTarget } from './engine/run.ts';
import { blindRow, keptRows, learnedRow, tableOf } from './figures.ts';
import { learners } from './learners.ts';
import type { LearnerName } from './learners.ts';
import type { FuzzResult } from './run.ts';
import { fuzz } from './run.ts';
import type { TargetName } from './target.ts';
import { targetNames } from './target.ts';

const MINUTE_MS = 60_000;
/** Executions between two lines of progress, about. */
const SAY_EVERY_MS = 30_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    // targets of `all` that run side by side: small machines have two processors
    'at-once': { type: 'string', default: '2' },
    case: { type: 'string' },
    input: { type: 'string' },
    blind: { type: 'boolean', default: false },
    unreached: { type: 'boolean', default: false },
    seeds: { type: 'boolean', default: false },
  },
});
const [seed, minutes] = [Number(values.seed), Number(values.minutes)];
const learnerNames = Object.keys(learners) as readonly LearnerName[];

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function isTarget(name: string | undefined): name is TargetName {
  return targetNames.some((known) => known === name);
}

function isLearner(name: string | undefined): name is LearnerName {
  return learnerNames.some((known) => known === name);
}

function write(row: string): void {
  const before = keptRows(readFileSync(join(checkout, 'docs/figures.md'), 'utf8'));
  writeFigures('fuzz', 'Fuzz', tableOf(before, row));
}

function report(target: TargetName, result: FuzzResult): void {
  for (const { number, reason, file } of result.failures) {
    say(`FAILED case ${number}: ${reason}`);
    say(`  again: npm run fuzz -- ${target} --blind --seed ${seed} --case ${number}`);
    if (file !== undefined) say(`  made smaller: npm run fuzz -- ${target} --blind --input ${file}`);
  }
  say(
    `${target}: ${result.cases} cases, ${result.accepted} accepted, ${result.refused} refused, ${result.failures.length} failed; the slowest (${result.slowest}) took ${result.slowestMs.toFixed(0)} ms, resident memory at most ${result.peakMiB.toFixed(0)} MiB`,
  );
}

async function blind(target: TargetName): Promise<boolean> {
  if (targets[target].needsRoot && process.getuid?.() !== 0) {
    say(`${target} makes devices and owners: it needs root`);
    return false;
  }
  const single = values.case !== undefined || values.input !== undefined;
  const result = await fuzz({
    target,
    seed,
    ...(single
      ? { from: Number(values.case ?? '0'), cases: 1 }
      : {
          forMs: minutes * MINUTE_MS,
          onProgress: (so) => say(`${target}: ${so.cases} cases, ${so.failures.length} failed`),
        }),
    ...(values.input === undefined ? {} : { input: values.input }),
  });
  report(target, result);
  if (!single && minutes >= 1)
    write(blindRow({ target, seed, minutes, result, corpus: corpusOf(target).length }));
  return result.failures.length === 0;
}

async function learning(target: LearnerName): Promise<boolean> {
  let said = performance.now();
  const onProgress = (executions: number, reached: number): void => {
    if (performance.now() - said < SAY_EVERY_MS) return;
    said = performance.now();
    say(`${target}: ${executions} executions, ${reached} edges`);
  };
  const isKept = values.input === undefined && minutes >= 1;
  const result = await learnTarget({
    target,
    seed,
    forMs: minutes * MINUTE_MS,
    isKept,
    onProgress,
    ...(values.input === undefined ? {} : { input: values.input }),
  });
  clearUp(target);
  for (const { reason, file } of result.failures)
    say(`FAILED ${target}: ${reason}\n  again: npm run fuzz -- ${target} --input ${file}`);
  const perSecond = (result.executions / (result.minutes * 60)).toFixed(0);
  say(
    `${target}: ${result.executions} executions, ${perSecond} a second, ${result.reached} of ${result.points} edges, corpus of ${result.corpus}, ${result.accepted} accepted, ${result.refused} refused, ${result.failures.length} failed`,
  );
  if (values.unreached) for (const place of result.unreached) say(`  not reached: ${place}`);
  if (isKept) write(learnedRow(target, seed, result));
  return result.failures.length === 0;
}

async function all(): Promise<boolean> {
  const left = [...learnerNames];
  let isGood = true;
  const worker = async (): Promise<void> => {
    for (let target = left.shift(); target !== undefined; target = left.shift())
      isGood = (await learning(target)) && isGood;
  };
  await Promise.all(Array.from({ length: Number(values['at-once']) }, worker));
  return isGood;
}

async function main(): Promise<number> {
  if (values.seeds) {
    for (const target of Object.values(targets)) plantSeeds(target);
    return 0;
  }
  const [target] = positionals;
  if (target === 'all') return (await all()) ? 0 : 1;
  if (isTarget(target) && (!isLearner(target) || values.blind || values.case !== undefined))
    return (await blind(target)) ? 0 : 1;
  if (isLearner(target)) return (await learning(target)) ? 0 : 1;
  say(`which? npm run fuzz -- all|${[...new Set([...targetNames, ...learnerNames])].join('|')}`);
  return 2;
}

process.exitCode = await main();
