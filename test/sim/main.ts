/** `npm run sim`: see USAGE. A failure prints one line that replays exactly. */
import { parseArgs } from 'node:util';
import { writeGolden } from './golden.ts';
import { reportFaults } from './fault-rows.ts';
import { hunt } from './mutants.ts';
import { MUTANTS } from './planted.ts';
import { runSeed } from './seeds.ts';
import { sweep } from './sweep.ts';
import type { Failure } from './run.ts';
import type { Mode } from './scheduler.ts';
import { inParts, parsePart, report, WHOLE } from './jobs.ts';
import type { Part } from './jobs.ts';
import { Tally } from './tally.ts';
import type { TallyPart } from './tally.ts';
import { writeFigures } from '../../scripts/support/figures.ts';
import { beginRecord } from '../support/faults/records.ts';

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
  /** Processes, and the part of one of them; undefined in the process that adds them up. */
  readonly jobs: number;
  readonly part: Part | undefined;
}

/** Runs the seeds of a part. */
async function seedsOf({ count, from, mode, withinS }: Many, { at, of }: Part): Promise<Tally> {
  const tally = new Tally(mode);
  for (let seed = from + at; seed < from + count && tally.seconds < withinS; seed += of) {
    const result = await runSeed(seed, { mode, ...tally.inspect });
    tally.add(result);
    if (result.failure !== undefined) say(lineOf(result.failure));
    if (seed % 100 !== 0) continue;
    const again = await runSeed(seed, { mode });
    if (again.hash === result.hash) continue;
    tally.failed += 1;
    say(
      `seed=${seed} step=${result.steps} invariant=determinism two runs differ: ${result.hash} and ${again.hash}`,
    );
  }
  return tally;
}

async function seeds(many: Many): Promise<boolean> {
  const { count, from, mode, write, withinS, jobs, part } = many;
  if (part !== undefined) {
    const tally = await seedsOf(many, part);
    report(tally.part);
    return tally.failed === 0;
  }
  const tally = jobs === 1 ? await seedsOf(many, WHOLE) : new Tally(mode);
  if (jobs > 1)
    for (const done of await inParts(import.meta.filename, process.argv.slice(2), jobs))
      tally.merge(done as TallyPart);
  for (const line of tally.lines()) say(line);
  if (write) {
    beginRecord(import.meta.filename);
    reportFaults(tally.made);
    writeFigures(
      `simulation ${mode}`,
      `Simulation, ${mode}`,
      tally.table(
        `npm run sim -- --seeds ${count} --from ${from} --mode ${mode}${withinS === Infinity ? '' : ` --within ${withinS}`}`,
      ),
    );
  }
  return tally.failed === 0;
}

async function one(seed: number, mode: Mode): Promise<boolean> {
  const { failure, world, steps } = await runSeed(seed, { mode });
  for (const line of failure?.tail ?? []) say(line);
  for (const note of world.history.notes.slice(-40)) say(`note ${note}`);
  say(failure === undefined ? `seed=${seed} step=${steps} ok` : lineOf(failure));
  return failure === undefined;
}

interface Sweeping {
  readonly depth: 1 | 2;
  readonly golden: boolean;
  readonly figures: boolean;
}

/** Death before and after each effect. */
async function sweepAll({ depth, golden, figures }: Sweeping): Promise<boolean> {
  const { known, explored, survived, runs, failures } = await sweep({ depth, every: 1, whole: !golden });
  for (const { point, pair, failure } of failures)
    say(
      `point=${JSON.stringify(point)} ${pair}: step=${failure.step} invariant=${failure.invariant} ${failure.detail}`,
    );
  if (golden) writeGolden(known);
  say(
    `crash points known ${known.size} = explored ${explored.size} = survived ${survived.size} (${runs} runs)`,
  );
  if (figures) {
    writeFigures(
      depth === 1 ? 'sweep' : `sweep ${depth}`,
      `Simulation, sweep${depth === 1 ? '' : ' with a second death in the recovery'}`,
      [
        `\`npm run sim -- --sweep${depth === 1 ? '' : ` --depth ${depth}`} --figures\``,
        '',
        '| crash points known | explored | survived | runs |',
        '|---|---|---|---|',
        `| ${known.size} | ${explored.size} | ${survived.size} | ${runs} |`,
      ].join('\n'),
    );
  }
  return known.size === explored.size && explored.size === survived.size;
}

const HUNTS = 10;

/** Each planted fault is found, and after how many events. */
async function mutants(figures: boolean): Promise<boolean> {
  const rows: string[] = [];
  let all = true;
  for (const mutant of MUTANTS) {
    const { found, hunts, meanEvents, first } = await hunt(mutant, HUNTS);
    say(
      `mutant ${mutant}: found ${found} of ${hunts}, mean events to find ${meanEvents}${first === undefined ? '' : `; such as ${lineOf(first)}`}`,
    );
    rows.push(`| ${mutant} | ${found} of ${hunts} | ${meanEvents} | ${first?.invariant ?? ''} |`);
    all &&= found === hunts;
  }
  if (figures) {
    const head = [
      '`npm run sim -- --mutants --figures`',
      '',
      '| planted bug | found | mean events to find it | found first by |',
      '|---|---|---|---|',
    ];
    writeFigures('mutants of the simulation', 'Simulation, planted bugs', [...head, ...rows].join('\n'));
  }
  return all;
}

/** Seeds of the long run, whose figures are kept. */
const LONG_RUN = 20_000;

const USAGE = `usage: npm run sim -- [options]

Runs the daemon's actors and its journal in a simulated world in which everything that goes wrong follows from a seed.
Exit status: 0 when nothing failed, 1 when something did, 2 for an unknown option.

  --seeds N         runs so many seeds (200); ${LONG_RUN} or more also write docs/figures.md
  --from N          begins with this seed (1)
  --within SECONDS  begins no further seed after so many seconds
  --jobs N          runs the seeds in so many processes (1)
  --seed N          runs one seed again and prints its last events
  --mode MODE       how what happens next is drawn: random (at random) or pct (priorities with a few changes)
  --sweep           dies before and after each effect of each operation
  --depth 2         with --sweep: dies again in the recovery
  --golden          with --sweep: writes the list of crash points anew
  --mutants         plants each known bug and counts the events until it is found
  --figures         writes the results into docs/figures.md
  --help            this text
`;

const OPTIONS = {
  seeds: { type: 'string' },
  from: { type: 'string' },
  within: { type: 'string' },
  jobs: { type: 'string' },
  part: { type: 'string' },
  seed: { type: 'string' },
  mode: { type: 'string' },
  sweep: { type: 'boolean' },
  depth: { type: 'string' },
  golden: { type: 'boolean' },
  mutants: { type: 'boolean' },
  figures: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Chosen = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'];

/** What was asked for; ends with the usage where that makes no sense. */
function chosen(): Chosen {
  try {
    const { values } = parseArgs({ options: OPTIONS });
    for (const name of ['seeds', 'from', 'within', 'seed', 'jobs'] as const) {
      if (values[name] !== undefined && !/^\d+$/u.test(values[name]))
        throw new Error(`--${name} ${values[name]}: not a whole number`);
    }
    if (values.jobs === '0') throw new Error('--jobs 0: at least one process is needed');
    if (values.part !== undefined && parsePart(values.part) === undefined)
      throw new Error(`--part ${values.part}: not of the form 0/2`);
    if (values.mode !== undefined && values.mode !== 'random' && values.mode !== 'pct')
      throw new Error(`--mode ${values.mode}: neither random nor pct`);
    if (values.depth !== undefined && values.depth !== '1' && values.depth !== '2')
      throw new Error(`--depth ${values.depth}: neither 1 nor 2`);
    return values;
  } catch (error) {
    process.stderr.write(`sim: ${(error as Error).message}\n\n${USAGE}`);
    process.exit(2);
  }
}

async function go(values: Chosen): Promise<boolean> {
  const mode = values.mode === 'pct' ? 'pct' : 'random';
  const { figures = false } = values;
  if (values.sweep === true)
    return sweepAll({ depth: values.depth === '2' ? 2 : 1, golden: values.golden === true, figures });
  if (values.mutants === true) return mutants(figures);
  if (values.seed !== undefined) return one(Number(values.seed), mode);
  const count = Number(values.seeds ?? 200);
  return seeds({
    count,
    from: Number(values.from ?? 1),
    mode,
    write: figures || count >= LONG_RUN,
    withinS: Number(values.within ?? Infinity),
    jobs: Number(values.jobs ?? 1),
    part: parsePart(values.part ?? ''),
  });
}

const values = chosen();
if (values.help === true) say(USAGE.trimEnd());
else process.exitCode = (await go(values)) ? 0 : 1;
