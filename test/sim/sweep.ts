/**
 * Death before and after each effect of each operation, as kill and as power loss. Known crash points are the
 * (operation, effect) pairs of uncrashed runs (golden/crash-points.txt); a pair is survived when every run that dies at
 * one of its effects ends well: the client's retries succeed, everything can be removed, nothing is left.
 */
import type { Manners, PodPlan } from './kubelet.ts';
import type { Program } from './kernel.ts';
import { aroundEffects, pairOf } from './record-effects.ts';
import { run } from './run.ts';
import type { Failure, RunOptions, RunResult } from './run.ts';
import type { World } from './world.ts';

interface Scenario {
  readonly plan: PodPlan;
  readonly program: Program;
}

export interface CrashPoint {
  readonly scenario: number;
  /** Number of the effect in the run. */
  readonly at: number;
  readonly when: 'before' | 'after';
  readonly power: boolean;
  /** Second death, at this effect of the recovery that follows; undefined for none (F10). */
  readonly again: number | undefined;
}

export interface SweepResult {
  readonly known: ReadonlySet<string>;
  readonly explored: ReadonlySet<string>;
  readonly survived: ReadonlySet<string>;
  readonly runs: number;
  readonly failures: readonly { readonly point: CrashPoint; readonly pair: string; readonly failure: Failure }[];
}

const SEED = 7;
const PLAN: PodPlan = {
  name: 'pod', containers: ['main'], image: 'sim/two:1', runs: 1, graceMs: 500, teardown: 'tidy', livesMs: 100,
  sharedPid: false, hostNetwork: false,
};
const OBEDIENT: Program = { livesMs: undefined, exitCode: 0, stubborn: false };

/** Together they call each operation with each of its courses. */
const SCENARIOS: readonly Scenario[] = [
  // a stop that is obeyed, a second attempt
  { plan: { ...PLAN, runs: 2 }, program: OBEDIENT },
  // shared PID namespace; programs that end by themselves; the sandbox's calls do all
  { plan: { ...PLAN, sharedPid: true, containers: ['main', 'side'], teardown: 'sandboxOnly' }, program: { livesMs: 30, exitCode: 3, stubborn: false } },
  // removed while it runs
  { plan: { ...PLAN, teardown: 'removeOnly' }, program: OBEDIENT },
  // a stop that is not obeyed: KILL after the grace
  { plan: { ...PLAN, graceMs: 50, hostNetwork: true }, program: { ...OBEDIENT, stubborn: true } },
  // the sandbox is stopped and removed with a running container in it
  { plan: { ...PLAN, teardown: 'sandboxOnly' }, program: OBEDIENT },
];

/** Pairs of each scenario's effects, in the order in which they begin. */
async function record(): Promise<readonly (readonly string[])[]> {
  const all: string[][] = [];
  for (const scenario of SCENARIOS) {
    const pairs: string[] = [];
    const { failure } = await run(
      optionsOf(scenario, (_at, when, pair) => {
        if (when === 'before') pairs.push(pair);
        return undefined;
      }),
    );
    if (failure !== undefined) throw new Error(`an uncrashed run fails: ${failure.invariant} ${failure.detail}`);
    all.push(pairs);
  }
  return all;
}

/** Called around each effect; `at` is its number in the run. What it returns is awaited; a rejection is the effect's. */
export type Hook = (at: number, when: 'before' | 'after', pair: string, world: World) => Promise<void> | undefined;

function optionsOf({ plan, program }: Scenario, hook: Hook, manners?: Manners): RunOptions {
  let count = -1;
  return {
    seed: SEED,
    pods: [plan],
    fresh: false,
    ...(manners === undefined ? {} : { manners }),
    troubleSteps: 1,
    trouble: (world) => {
      world.kernel.program = () => program;
    },
    wrap: (ports, world) => {
      const numbers = new Map<string, number[]>();
      return aroundEffects(ports, {
        before: (effect) => {
          count += 1;
          // two of one effect may be under way: the first to begin is taken for the first to end
          numbers.set(effect, [...(numbers.get(effect) ?? []), count]);
          return hook(count, 'before', pairOf(world.operation, effect), world);
        },
        after: (effect) => {
          const at = numbers.get(effect)?.shift() ?? -1;
          return hook(at, 'after', pairOf(world.operation, effect), world);
        },
      });
    },
  };
}

/** A run of one of the scenarios with a hand on each effect. */
export function runScenario(number: number, hook: Hook, manners?: Manners): Promise<RunResult> {
  const scenario = SCENARIOS[number];
  if (scenario === undefined) throw new Error(`no scenario ${number}`);
  return run(optionsOf(scenario, hook, manners));
}

/** The daemon, or with `power` the machine, dies here: what awaits this never goes on. */
export function die(world: World, power = false): Promise<void> {
  world.crash({ power });
  return new Promise(() => undefined);
}

/** One run that dies at the point. */
export async function runPoint(point: CrashPoint): Promise<Failure | undefined> {
  let deaths = 0;
  let recovering = -1;
  const dieOnce = (world: World, power: boolean): Promise<void> => {
    deaths += 1;
    return die(world, power);
  };
  const { failure } = await runScenario(point.scenario, (at, when, _pair, world) => {
    if (deaths === 0) return at === point.at && when === point.when ? dieOnce(world, point.power) : undefined;
    if (point.again === undefined || deaths > 1 || when !== 'after') return undefined;
    recovering += 1;
    return recovering === point.again ? dieOnce(world, false) : undefined;
  });
  return failure;
}

export interface SweepOptions {
  /** 2 adds a second death at each of the first effects after the first. */
  readonly depth: 1 | 2;
  /** Only each n-th effect. */
  readonly every: number;
}

/** All points. */
export async function sweep({ depth, every }: SweepOptions = { depth: 1, every: 1 }): Promise<SweepResult> {
  const recorded = await record();
  const known = new Set(recorded.flat());
  const explored = new Set<string>();
  const failures: SweepResult['failures'][number][] = [];
  let runs = 0;
  for (const [scenario, pairs] of recorded.entries()) {
    for (const [at, pair] of pairs.entries()) {
      if (at % every !== 0) continue;
      explored.add(pair);
      for (const point of pointsAt(scenario, at, depth)) {
        runs += 1;
        const failure = await runPoint(point);
        if (failure !== undefined) failures.push({ point, pair, failure });
      }
    }
  }
  const fallen = new Set(failures.map(({ pair }) => pair));
  return { known, explored, survived: new Set([...explored].filter((pair) => !fallen.has(pair))), runs, failures };
}

/** Deaths within the recovery that are tried: it has some ten effects in these scenarios. */
const RECOVERY_EFFECTS = 10;

function pointsAt(scenario: number, at: number, depth: 1 | 2): CrashPoint[] {
  const points: CrashPoint[] = [];
  for (const when of ['before', 'after'] as const) {
    for (const power of [false, true]) points.push({ scenario, at, when, power, again: undefined });
  }
  if (depth === 1) return points;
  return Array.from({ length: RECOVERY_EFFECTS }, (_none, again) => ({ scenario, at, when: 'after', power: false, again }));
}
