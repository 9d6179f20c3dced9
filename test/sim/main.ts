/** `npm run sim [-- --seeds N | --seed N | --sweep | --mutants]`: a failure prints one line that replays exactly. */
import { parseArgs } from 'node:util';
import { writeGolden } from './golden.ts';
import { hunt, MUTANTS } from './mutants.ts';
import { runSeed } from './seeds.ts';
import { sweep } from './sweep.ts';
import type { Failure } from './run.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** `seed=… step=… invariant=… detail`. */
function lineOf({ seed, step, invariant, detail }: Failure): string {
  return `seed=${seed} step=${step} invariant=${invariant} ${detail}`;
}

async function seeds(count: number, from: number): Promise<boolean> {
  const begun = process.hrtime.bigint();
  let failed = 0;
  let steps = 0;
  let virtualMs = 0;
  for (let seed = from; seed < from + count; seed += 1) {
    const result = await runSeed(seed);
    steps += result.steps;
    virtualMs += result.virtualMs;
    if (result.failure !== undefined) {
      failed += 1;
      say(lineOf(result.failure));
    }
    if (seed % 100 !== 0) continue;
    const again = await runSeed(seed);
    if (again.hash === result.hash) continue;
    failed += 1;
    say(`seed=${seed} step=${result.steps} invariant=determinism two runs differ: ${result.hash} and ${again.hash}`);
  }
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  say(`seeds ${count}, failed ${failed}, events ${steps}, simulated ${(virtualMs / 3_600_000).toFixed(1)} h, ${seconds.toFixed(1)} s`);
  return failed === 0;
}

async function one(seed: number): Promise<boolean> {
  const { failure, world, steps } = await runSeed(seed);
  for (const line of failure?.tail ?? []) say(line);
  for (const note of world.history.notes.slice(-40)) say(`note ${note}`);
  say(failure === undefined ? `seed=${seed} step=${steps} ok` : lineOf(failure));
  return failure === undefined;
}

/** Death before and after each effect. */
async function sweepAll(depth: 1 | 2, write: boolean): Promise<boolean> {
  const { known, explored, survived, runs, failures } = await sweep({ depth, every: 1 });
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
  options: { seeds: { type: 'string' }, from: { type: 'string' }, seed: { type: 'string' }, sweep: { type: 'boolean' }, mutants: { type: 'boolean' }, depth: { type: 'string' }, golden: { type: 'boolean' } },
});

async function chosen(): Promise<boolean> {
  if (values.sweep === true) return sweepAll(values.depth === '2' ? 2 : 1, values.golden === true);
  if (values.mutants === true) return mutants();
  if (values.seed !== undefined) return one(Number(values.seed));
  return seeds(Number(values.seeds ?? 200), Number(values.from ?? 1));
}

process.exitCode = (await chosen()) ? 0 : 1;
