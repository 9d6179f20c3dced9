/** `npm run sim`: see USAGE. A failure prints one line that replays exactly. */
import { parseArgs } from 'node:util';
import { writeGolden } from './golden.ts';
import { reportFaults } from './fault-rows.ts';
import { hunt } from './mutants.ts';
import { MUTANTS } from './planted.ts';
import { replay } from './replay.ts';
import { runSeed } from './seeds.ts';
import { search } from './exhaustive.ts';
import { detections } from './pct.ts';
import { sweep } from './sweep.ts';
import { scenarioNumbers, sumOf, sweepDeep } from './sweep-deep.ts';
import type { DeepResult } from './sweep-deep.ts';
import type { Failure } from './run.ts';
import type { Mode } from './scheduler.ts';
import { inParts, parsePart, report, WHOLE } from './jobs.ts';
import type { Part } from './jobs.ts';
import { sweepTakeOvers } from './take-over-sweep.ts';
import { Tally } from './tally.ts';
import type { TallyPart } from './tally.ts';
import { readRecording } from '../../src/daemon/cli/read-recording.ts';
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
    return tally.failed === 0 && tally.coverage.wrongReasons.length === 0;
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
  return tally.failed === 0 && tally.coverage.wrongReasons.length === 0;
}

async function one(seed: number, mode: Mode): Promise<boolean> {
  const { failure, world, steps } = await runSeed(seed, { mode });
  for (const line of failure?.tail ?? []) say(line);
  for (const note of world.history.notes.slice(-40)) say(`note ${note}`);
  say(failure === undefined ? `seed=${seed} step=${steps} ok` : lineOf(failure));
  return failure === undefined;
}

/** The list of crash points anew, from runs that die at each of them once. */
async function golden(): Promise<boolean> {
  const { known, explored, survived, runs } = await sweep({ depth: 1, every: 1, whole: false });
  writeGolden(known);
  say(
    `crash points known ${known.size} = explored ${explored.size} = survived ${survived.size} (${runs} runs)`,
  );
  return known.size === explored.size && explored.size === survived.size;
}

interface Sweeping {
  readonly depth: 1 | 2;
  readonly figures: boolean;
  readonly jobs: number;
  readonly part: Part | undefined;
}

/** Death before and after each effect, by kill and by power loss; with depth 2 again in the recovery. */
async function sweepAll({ depth, figures, jobs, part }: Sweeping): Promise<boolean> {
  const { at, of } = part ?? WHOLE;
  const mine = scenarioNumbers().filter((number) => number % of === at);
  const begun = process.hrtime.bigint();
  const result =
    jobs > 1 && part === undefined
      ? sumOf((await inParts(import.meta.filename, process.argv.slice(2), jobs)) as DeepResult[])
      : await sweepDeep(depth, mine);
  if (part !== undefined) {
    report(result);
    return result.failures.length === 0;
  }
  const { known, points, states, secondPoints, secondStates, failures } = result;
  for (const { scenario, deaths, failure } of failures)
    say(
      `scenario=${scenario} deaths=${JSON.stringify(deaths)}: step=${failure.step} invariant=${failure.invariant} ${failure.detail}`,
    );
  const survived = known.length - new Set(failures.map(({ deaths: [first] }) => first?.pair)).size;
  const minutes = (Number(process.hrtime.bigint() - begun) / 6e10).toFixed(1);
  say(
    `crash points known ${known.length}, survived ${survived}; deaths ${points} with ${states} different outcomes; second deaths ${secondPoints} with ${secondStates}; failed ${failures.length}; ${minutes} min`,
  );
  if (figures)
    writeFigures(
      depth === 1 ? 'sweep' : `sweep ${depth}`,
      `Simulation, sweep${depth === 1 ? '' : ' with a second death in the recovery'}`,
      [
        `\`npm run sim -- --sweep${depth === 1 ? '' : ` --depth ${depth}`} --figures\``,
        '',
        '| crash points known | survived | deaths | different outcomes, each run | second deaths | different outcomes, each run | failed |',
        '|---|---|---|---|---|---|---|',
        `| ${known.length} | ${survived} | ${points} | ${states} | ${secondPoints} | ${secondStates} | ${failures.length} |`,
      ].join('\n'),
    );
  return failures.length === 0;
}

/** Another daemon takes over at each effect of a pod's life; at each third of them one dies, at each fifth step. */
async function takeOvers(figures: boolean): Promise<boolean> {
  const result = await sweepTakeOvers({ effects: 1, deathsIn: 3, steps: 5 });
  for (const { point, failure } of result.failures) say(`${JSON.stringify(point)}: ${lineOf(failure)}`);
  const { takeOvers: count, handedOver, deaths, failures } = result;
  say(`take-overs ${count}, deaths in them ${deaths}, handed over ${handedOver}, failed ${failures.length}`);
  if (figures)
    writeFigures(
      'sim take-overs',
      'Simulation, a death at each fifth step of take-overs',
      [
        '`npm run sim -- --take-overs --figures`: another daemon takes over before each effect of six scenarios; in each',
        'third of these the former daemon, the new one or the machine dies, at each fifth step',
        '',
        '| take-overs | deaths in them | handed over | failed |',
        '|---|---|---|---|',
        `| ${count} | ${deaths} | ${handedOver} | ${failures.length} |`,
      ].join('\n'),
    );
  return failures.length === 0;
}

/** Pods and faults of the world that is searched, and the deviations from the oldest first. */
const SEARCHED = { pods: 2, faults: 3, deviations: 1 } as const;

async function exhaustive(withinS: number, figures: boolean): Promise<boolean> {
  const { states, pruned, paths, left, failures } = await search({ ...SEARCHED, paths: Infinity, withinS });
  for (const { path, failure } of failures) say(`path=${JSON.stringify(path)}: ${lineOf(failure)}`);
  const end = left === 0 ? 'complete' : `bound hit, ${left} paths not followed`;
  const { pods, faults, deviations } = SEARCHED;
  say(
    `pods ${pods}, faults ${faults}, deviations ${deviations}: states ${states}, paths ${paths}, pruned ${pruned}, failed ${failures.length}, ${end}`,
  );
  if (figures)
    writeFigures(
      'simulation exhaustive',
      'Simulation, every placement of faults in a small world',
      [
        '`npm run sim -- --exhaustive --figures`',
        '',
        '| pods | faults | deviations | states | paths | pruned | failed | |',
        '|---|---|---|---|---|---|---|---|',
        `| ${pods} | ${faults} | ${deviations} | ${states} | ${paths} | ${pruned} | ${failures.length} | ${end} |`,
      ].join('\n'),
    );
  return failures.length === 0;
}

/** Runs of each planted bug and each way to draw. */
const DETECTION_RUNS = 20;

async function detection(figures: boolean): Promise<boolean> {
  const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
  const rows: string[] = [];
  await detections(DETECTION_RUNS, ({ mutant, random, pct, bounds }) => {
    const cells = pct.map((share, at) => `${percent(share)} (${(bounds[at] ?? 0).toExponential(0)})`);
    rows.push(`| ${mutant} | ${percent(random)} | ${cells.join(' | ')} |`);
    say(rows.at(-1) ?? '');
  });
  if (figures)
    writeFigures(
      'simulation pct detection',
      'Simulation, share of runs that find a planted bug',
      [
        '`npm run sim -- --pct --figures`: in parentheses the lower bound of PCT, 1 / (n · k^(d − 1))',
        '',
        '| planted bug | at random | d = 1 | d = 2 | d = 3 |',
        '|---|---|---|---|---|',
        ...rows,
      ].join('\n'),
    );
  return true;
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

/** Plays a recording of the flight recorder against today's machines: the first difference with both histories. */
async function replayFile(path: string): Promise<boolean> {
  const { entries, unread } = await readRecording(path);
  const { events, transitions, actors, outcomes, failures, effects, calls, skipped, differences } =
    replay(entries);
  const [first] = differences;
  if (first !== undefined) {
    for (const step of first.history.slice(0, -1)) say(`  ${step}`);
    say(`${first.actor} on ${first.on}: recorded ${first.recorded}, replayed ${first.replayed}`);
  }
  say(
    `replayed ${events} events of ${actors} actors, of ${calls} calls, ${outcomes} outcomes of effects among them (${failures} failed): ${transitions} transitions, ${effects} effects started; before the recording ${skipped}, lines not read ${unread}; differences ${differences.length}`,
  );
  return differences.length === 0 && events > 0;
}

const USAGE = `usage: npm run sim -- [options]

Runs the daemon's actors and its journal in a simulated world in which everything that goes wrong follows from a seed.
Exit status: 0 when nothing failed, 1 when something did, 2 for an unknown option.

  --seeds N         runs so many seeds (200); ${LONG_RUN} or more also write docs/figures.md
  --from N          begins with this seed (1)
  --within SECONDS  begins no further seed after so many seconds
  --jobs N          runs the seeds in so many processes (1)
  --seed N          runs one seed again and prints its last events
  --mode MODE       how what happens next is drawn: random (at random) or pct (priorities with a few changes)
  --replay FILE     plays a support bundle, a segment of the flight recorder or a directory of segments against the
                    machines of this checkout, and prints the first transition that differs
  --sweep           dies before and after each effect of each operation, by kill and by power loss
  --depth 2         with --sweep: dies again at each effect of the recovery
  --golden          with --sweep: writes the list of crash points anew
  --take-overs      another daemon takes over at each effect; either of the two dies at steps of that, or the machine
  --exhaustive      two pods, up to three faults: all placements, as far as --within allows
  --pct             how often one run finds each planted bug, at random and with priorities
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
  replay: { type: 'string' },
  mode: { type: 'string' },
  sweep: { type: 'boolean' },
  depth: { type: 'string' },
  golden: { type: 'boolean' },
  'take-overs': { type: 'boolean' },
  exhaustive: { type: 'boolean' },
  pct: { type: 'boolean' },
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
  const jobs = Number(values.jobs ?? 1);
  const part = parsePart(values.part ?? '');
  const withinS = Number(values.within ?? Infinity);
  if (values.replay !== undefined) return replayFile(values.replay);
  if (values.golden === true) return golden();
  if (values.sweep === true) return sweepAll({ depth: values.depth === '2' ? 2 : 1, figures, jobs, part });
  if (values['take-overs'] === true) return takeOvers(figures);
  if (values.exhaustive === true) return exhaustive(withinS, figures);
  if (values.pct === true) return detection(figures);
  if (values.mutants === true) return mutants(figures);
  if (values.seed !== undefined) return one(Number(values.seed), mode);
  const count = Number(values.seeds ?? 200);
  return seeds({
    count,
    from: Number(values.from ?? 1),
    mode,
    write: figures || count >= LONG_RUN,
    withinS,
    jobs,
    part,
  });
}

const values = chosen();
if (values.help === true) say(USAGE.trimEnd());
else process.exitCode = (await go(values)) ? 0 : 1;
