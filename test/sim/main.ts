/** `npm run sim [-- --seeds N [--within seconds] [--figures] | --seed N | --sweep | --mutants]`, each with `--mode pct`: a failure prints one line that replays exactly. */
import { parseArgs } from 'node:util';
import { writeGolden } from './golden.ts';
import { hunt } from './mutants.ts';
import { MUTANTS } from './planted.ts';
import { runSeed } from './seeds.ts';
import { sweep } from './sweep.ts';
import type { Failure } from './run.ts';
import type { Mode } from './scheduler.ts';
import { Tally } from './tally.ts';
import { writeFigures } from '../../scripts/support/figures.ts';

// `| head` has read enough
process.stdout.on('error', () => process.exit(0));
const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** `seed=… step=… invariant=… detail`. */
function lineOf({ seed, step, invariant, detail }: Failure): string {
  return `seed=${seed} step=${step} invariant=${invariant} ${detail}`;
}

interface Many {
  readonly count: number;
  readonly from: number;
  readonly mode: Mode;
  /** Into docs/figures.md. */
  readonly write: boolean;
  /** Seconds after which no further seed begins. */
  readonly withinS: number;
}

async function seeds({ count, from, mode, write, withinS }: Many): Promise<boolean> {
  const tally = new Tally(mode);
  for (let seed = from; seed < from + count && tally.seconds < withinS; seed += 1) {
    const result = await runSeed(seed, { mode, inspect: tally.coverage.inspect });
    tally.add(result);
    if (result.failure !== undefined) say(lineOf(result.failure));
    if (seed % 100 !== 0) continue;
    const again = await runSeed(seed, { mode });
    if (again.hash === result.hash) continue;
    tally.failed += 1;
    say(`seed=${seed} step=${result.steps} invariant=determinism two runs differ: ${result.hash} and ${again.hash}`);
  }
  for (const line of tally.lines()) say(line);
  if (write) writeFigures(`simulation ${mode}`, `Simulation, ${mode}`, tally.table(`npm run sim -- --seeds ${count} --from ${from} --mode ${mode}${withinS === Infinity ? '' : ` --within ${withinS}`}`));
  return tally.failed === 0;
}

async function one(seed: number, mode: Mode): Promise<boolean> {
  const { failure, world, steps } = await runSeed(seed, { mode });
  for (const line of failure?.tail ?? []) say(line);
  for (const note of world.history.notes.slice(-40)) say(`note ${note}`);
  say(failure === undefined ? `seed=${seed} step=${steps} ok` : lineOf(failure));
  return failure === undefined;
}

/** Death before and after each effect. */
async function sweepAll(depth: 1 | 2, write: boolean): Promise<boolean> {
  const { known, explored, survived, runs, failures } = await sweep({ depth, every: 1, whole: !write });
  for (const { point, pair, failure } of failures) say(`point=${JSON.stringify(point)} ${pair}: step=${failure.step} invariant=${failure.invariant} ${failure.detail}`);
  if (write) writeGolden(known);
  say(`crash points known ${known.size} = explored ${explored.size} = survived ${survived.size} (${runs} runs)`);
  return known.size === explored.size && explored.size === survived.size;
}

const HUNTS = 10;

/** Each planted fault is found, and after how many events. */
async function mutants(): Promise<boolean> {
  let all = true;
  for (const mutant of MUTANTS) {
    const { found, hunts, meanEvents, first } = await hunt(mutant, HUNTS);
    say(`mutant ${mutant}: found ${found} of ${hunts}, mean events to find ${meanEvents}${first === undefined ? '' : `; such as ${lineOf(first)}`}`);
    all &&= found === hunts;
  }
  return all;
}

const { values } = parseArgs({
  options: { seeds: { type: 'string' }, from: { type: 'string' }, seed: { type: 'string' }, sweep: { type: 'boolean' }, mutants: { type: 'boolean' }, depth: { type: 'string' }, golden: { type: 'boolean' }, mode: { type: 'string' }, figures: { type: 'boolean' }, within: { type: 'string' } },
});

async function chosen(): Promise<boolean> {
  const mode = values.mode === 'pct' ? 'pct' : 'random';
  if (values.sweep === true) return sweepAll(values.depth === '2' ? 2 : 1, values.golden === true);
  if (values.mutants === true) return mutants();
  if (values.seed !== undefined) return one(Number(values.seed), mode);
  return seeds({
    count: Number(values.seeds ?? 200), from: Number(values.from ?? 1), mode, write: values.figures === true, withinS: Number(values.within ?? Infinity),
  });
}

process.exitCode = (await chosen()) ? 0 : 1;
