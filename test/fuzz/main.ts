// `npm run fuzz -- unpack|manifest|reference|registry [--minutes N] [--seed S]`: inputs changed and made up, until the time
// is over. `--case N` runs one case of the seed again, `--input FILE` a stored one, `--seeds` writes what the corpus
// begins with. A run of a minute or longer writes its figures.
import { parseArgs } from 'node:util';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFigures } from '../../scripts/support/figures.ts';
import { checkout } from '../support/tools/cache.ts';
import { corpusOf, plantSeeds, targets } from './cases.ts';
import { keptRows, tableOf } from './figures.ts';
import type { FuzzResult } from './run.ts';
import { fuzz } from './run.ts';
import type { TargetName } from './target.ts';
import { targetNames } from './target.ts';

const MINUTE_MS = 60_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    case: { type: 'string' },
    input: { type: 'string' },
    seeds: { type: 'boolean', default: false },
  },
});

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function isTarget(name: string | undefined): name is TargetName {
  return targetNames.some((known) => known === name);
}

function tell(target: TargetName, seed: number, result: FuzzResult): void {
  for (const { number, reason, file } of result.failures) {
    say(`FAILED case ${number}: ${reason}`);
    say(`  again: npm run fuzz -- ${target} --seed ${seed} --case ${number}`);
    if (file !== undefined) say(`  made smaller: npm run fuzz -- ${target} --input ${file}`);
  }
  say(`${target}: ${result.cases} cases, ${result.accepted} accepted, ${result.refused} refused, ${result.failures.length} failed; the slowest (${result.slowest}) took ${result.slowestMs.toFixed(0)} ms, resident memory at most ${result.peakMiB.toFixed(0)} MiB`);
}

async function main(): Promise<number> {
  if (values.seeds) {
    for (const target of Object.values(targets)) plantSeeds(target);
    return 0;
  }
  const target = positionals[0];
  if (!isTarget(target)) {
    say(`which? npm run fuzz -- ${targetNames.join('|')}`);
    return 2;
  }
  if (targets[target].needsRoot && process.getuid?.() !== 0) {
    say(`${target} makes devices and owners: it needs root`);
    return 2;
  }
  const [seed, minutes] = [Number(values.seed), Number(values.minutes)];
  const single = values.case !== undefined || values.input !== undefined;
  const result = await fuzz({
    target,
    seed,
    ...(single ? { from: Number(values.case ?? '0'), cases: 1 } : { forMs: minutes * MINUTE_MS, onProgress: (so) => say(`${target}: ${so.cases} cases, ${so.failures.length} failed`) }),
    ...(values.input === undefined ? {} : { input: values.input }),
  });
  tell(target, seed, result);
  if (!single && minutes >= 1) {
    const before = keptRows(readFileSync(join(checkout, 'docs/figures.md'), 'utf8'));
    writeFigures('fuzz', 'Fuzz', tableOf(before, { target, seed, minutes, result, corpus: corpusOf(target).length }));
  }
  return result.failures.length === 0 ? 0 : 1;
}

process.exitCode = await main();
