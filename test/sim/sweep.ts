/**
 * Death before and after each effect of each operation, as kill and as power loss. Known crash points are the
 * (operation, effect) pairs of uncrashed runs (golden/crash-points.txt); a pair is survived when every run that dies at
 * one of its effects ends well: the client's retries succeed, everything can be removed, nothing is left.
 */
import type { Manners, PodPlan } from './kubelet.ts';
import type { Program } from './kernel.ts';
import { fault, FaultError } from '../../src/base/fault.ts';
import { actorLimits } from '../../src/actors/bounds.ts';
import { pairOf } from './record-effects.ts';
import { run } from './run.ts';
import type { Failure, RunOptions, RunResult } from './run.ts';
import type { World } from './world.ts';

interface Scenario {
  readonly plan: PodPlan;
  readonly program: Program;
  /** Milliseconds after which the client takes no answer for an answer: the work goes on while nobody waits. */
  readonly deadlineMs?: number;
  /**
   * Each call in so many waits for its answer all the same. Without it a run ends only when some pull is drawn to be
   * faster than the deadline: after thousands of effects, or not within the bound on a run.
   */
  readonly patientEach?: number;
  /** Of the delays, where the one for all does not let the client give up at what the scenario is about. */
  readonly seed?: number;
  /** Pairs whose first effect is refused: the undo that follows has crash points of its own. */
  readonly refused?: readonly string[];
  /** The daemon dies once after the first effect of this pair: the recovery has crash points of its own. */
  readonly dies?: string;
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
  readonly failures: readonly {
    readonly point: CrashPoint;
    readonly pair: string;
    readonly failure: Failure;
  }[];
}

const SEED = 7;
const PLAN: PodPlan = {
  name: 'pod',
  containers: ['main'],
  image: 'sim/two:1',
  runs: 1,
  graceMs: 500,
  teardown: 'tidy',
  livesMs: 100,
  resizes: false,
  sharedPid: false,
  hostNetwork: false,
};
const OBEDIENT: Program = { livesMs: undefined, exitCode: 0, stubborn: false };

/** Together they call each operation with each of its courses. */
const SCENARIOS: readonly Scenario[] = [
  // a stop that is obeyed, a second attempt
  { plan: { ...PLAN, runs: 2 }, program: OBEDIENT },
  // shared PID namespace; programs that end by themselves; the sandbox's calls do all
  {
    plan: { ...PLAN, sharedPid: true, containers: ['main', 'side'], teardown: 'sandboxOnly' },
    program: { livesMs: 30, exitCode: 3, stubborn: false },
  },
  // removed while it runs
  { plan: { ...PLAN, teardown: 'removeOnly' }, program: OBEDIENT },
  // a stop that is not obeyed: KILL after the grace
  { plan: { ...PLAN, graceMs: 50, hostNetwork: true }, program: { ...OBEDIENT, stubborn: true } },
  // the sandbox is stopped and removed with a running container in it
  { plan: { ...PLAN, teardown: 'sandboxOnly' }, program: OBEDIENT },
  // the sandbox is removed with a running container in it and was never stopped
  { plan: { ...PLAN, sharedPid: true, teardown: 'sandboxRemoved' }, program: OBEDIENT },
  // limits changed, a probe, a log opened anew; alive for some rounds of the janitor
  { plan: { ...PLAN, resizes: true, runs: 2, livesMs: 12_000 }, program: OBEDIENT },
  // starts that fail at their last effect: all is undone
  { plan: { ...PLAN }, program: OBEDIENT, refused: ['RunPodSandbox network.add'] },
  { plan: { ...PLAN, sharedPid: true }, program: OBEDIENT, refused: ['RunPodSandbox runtime.startPause'] },
  { plan: PLAN, program: OBEDIENT, refused: ['CreateContainer runtime.create'] },
  { plan: PLAN, program: OBEDIENT, refused: ['StartContainer runtime.start'] },
  { plan: PLAN, program: OBEDIENT, refused: ['PullImage images.fetchLayer'] },
  {
    plan: { ...PLAN, resizes: true },
    program: OBEDIENT,
    refused: ['UpdateContainerResources runtime.update'],
  },
  // an undo that fails is tried again by the janitor
  {
    plan: { ...PLAN, sharedPid: true, livesMs: 12_000 },
    program: OBEDIENT,
    refused: ['RunPodSandbox runtime.startPause', 'RunPodSandbox runtime.destroyPause'],
  },
  {
    plan: { ...PLAN, livesMs: 12_000 },
    program: OBEDIENT,
    refused: ['CreateContainer runtime.create', 'CreateContainer runtime.destroy'],
  },
  {
    plan: { ...PLAN, teardown: 'sandboxStopped' },
    program: OBEDIENT,
    refused: ['StopPodSandbox network.del'],
  },
  {
    plan: { ...PLAN, teardown: 'sandboxRemoved' },
    program: OBEDIENT,
    refused: ['RemovePodSandbox host.removeSandboxCgroup'],
  },
  { plan: PLAN, program: OBEDIENT, refused: ['RemoveImage storage.removeLayer'] },
  { plan: PLAN, program: OBEDIENT, refused: ['StopContainer storage.unmountRootfs'] },
  // clients that give up: each effect happens while nobody waits for it
  { plan: { ...PLAN, resizes: true }, program: OBEDIENT, deadlineMs: 1, patientEach: 16 },
  {
    plan: { ...PLAN, sharedPid: true, graceMs: 50, teardown: 'sandboxOnly' },
    program: { ...OBEDIENT, stubborn: true },
    deadlineMs: 1,
    patientEach: 16,
  },
  { plan: { ...PLAN, teardown: 'removeOnly' }, program: OBEDIENT, deadlineMs: 2, patientEach: 16 },
  // what a second start does with each half state
  { plan: { ...PLAN, sharedPid: true }, program: OBEDIENT, dies: 'RunPodSandbox runtime.startPause' },
  { plan: PLAN, program: OBEDIENT, dies: 'CreateContainer runtime.create' },
  { plan: PLAN, program: OBEDIENT, dies: 'StartContainer runtime.start' },
  { plan: PLAN, program: OBEDIENT, dies: 'StopContainer runtime.kill' },
  {
    plan: { ...PLAN, graceMs: 5000 },
    program: { livesMs: 30, exitCode: 3, stubborn: false },
    dies: 'StartContainer journal.append',
  },
  {
    plan: { ...PLAN, sharedPid: true, teardown: 'sandboxOnly' },
    program: OBEDIENT,
    dies: 'StopPodSandbox journal.append',
  },
  { plan: { ...PLAN, teardown: 'removeOnly' }, program: OBEDIENT, dies: 'RemoveContainer runtime.destroy' },
  { plan: { ...PLAN, teardown: 'sandboxOnly' }, program: OBEDIENT, dies: 'RemovePodSandbox journal.append' },
  { plan: PLAN, program: OBEDIENT, dies: 'PullImage images.fetchLayer' },
  { plan: { ...PLAN, resizes: true }, program: OBEDIENT, dies: 'UpdateContainerResources runtime.update' },
  // a checkpoint, and the next run made from it; an image that is a checkpoint; a pod checkpointed and restored
  { plan: { ...PLAN, checkpoints: 'container', runs: 2 }, program: OBEDIENT },
  { plan: { ...PLAN, checkpoints: 'image', graceMs: 50 }, program: { ...OBEDIENT, stubborn: true } },
  { plan: { ...PLAN, checkpoints: 'pod', containers: ['main', 'side'] }, program: OBEDIENT },
  // each of them fails at its last effect, or dies there
  {
    plan: { ...PLAN, checkpoints: 'container', runs: 2 },
    program: OBEDIENT,
    refused: ['CheckpointContainer criu.settle'],
  },
  {
    plan: { ...PLAN, checkpoints: 'pod', containers: ['main', 'side'] },
    program: OBEDIENT,
    refused: ['RestorePod criu.importFiles'],
  },
  {
    plan: { ...PLAN, checkpoints: 'image' },
    program: OBEDIENT,
    refused: ['CreateContainer criu.importFiles'],
  },
  { plan: { ...PLAN, checkpoints: 'image' }, program: OBEDIENT, refused: ['StartContainer criu.unmark'] },
  {
    plan: { ...PLAN, checkpoints: 'pod', containers: ['main', 'side'] },
    program: OBEDIENT,
    dies: 'CheckpointPod criu.freeze',
  },
  {
    plan: { ...PLAN, checkpoints: 'image', graceMs: 5000 },
    program: { livesMs: 30, exitCode: 3, stubborn: false },
    dies: 'StartContainer criu.restore',
  },
  // nobody waits for the restore, or for the create before it
  { plan: { ...PLAN, checkpoints: 'image' }, program: OBEDIENT, deadlineMs: 1, seed: 29 },
  // limits changed within the grace of a stop that is not obeyed
  { plan: { ...PLAN, resizes: true }, program: { ...OBEDIENT, stubborn: true } },
  // alive until the janitor tries again to delete debris
  { plan: { ...PLAN, livesMs: actorLimits.debrisMs + 20_000 }, program: OBEDIENT },
];
export const SCENARIO_COUNT = SCENARIOS.length;
/** The short form explores each effect of a port in the scenarios before this one, and elsewhere what is new. */
const REPEATING_FROM = 2;

/** Milliseconds that a patient call waits: longer than anything here takes. */
const PATIENT_MS = 240_000;

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
    if (failure !== undefined)
      throw new Error(`an uncrashed run fails: ${failure.invariant} ${failure.detail}`);
    all.push(pairs);
  }
  return all;
}

/**
 * Called around each effect; `at` is its number in the run. What it returns is awaited; a rejection is the effect's.
 */
export type Hook = (
  at: number,
  when: 'before' | 'after',
  pair: string,
  world: World,
) => Promise<void> | undefined;

/** The scenario's own refusals and death, at the first effect of each pair. */
function ownHook({ refused = [], dies }: Scenario): Hook {
  const left = new Set(refused);
  let alive = true;
  return (_at, when, pair, world) => {
    if (when === 'before' && left.delete(pair))
      return Promise.reject(new FaultError(fault('outside', `${pair}: refused by the scenario`)));
    if (when !== 'after' || pair !== dies || !alive) return undefined;
    alive = false;
    return die(world);
  };
}

function mannersOf(
  { deadlineMs, patientEach = Infinity }: Scenario,
  given: Manners | undefined,
): Pick<RunOptions, 'manners'> {
  if (given !== undefined) return { manners: given };
  if (deadlineMs === undefined) return {};
  let calls = 0;
  return {
    manners: {
      duplicates: 0,
      deadlineMs: () => {
        calls += 1;
        return calls % patientEach === 0 ? PATIENT_MS : deadlineMs;
      },
    },
  };
}

function optionsOf(scenario: Scenario, given: Hook, manners?: Manners): RunOptions {
  const { plan, program } = scenario;
  const own = ownHook(scenario);
  const hook: Hook = (...args) => given(...args) ?? own(...args);
  let count = -1;
  return {
    seed: scenario.seed ?? SEED,
    pods: [plan],
    fresh: false,
    ...mannersOf(scenario, manners),
    troubleSteps: 1,
    trouble: (world) => {
      world.kernel.program = () => program;
    },
    around: (world) => {
      const numbers = new Map<string, number[]>();
      return {
        before: (effect) => {
          count += 1;
          // two of one effect may be under way: the first to begin is taken for the first to end
          const mine = count;
          numbers.set(effect, [...(numbers.get(effect) ?? []), mine]);
          const said = hook(mine, 'before', pairOf(world.operation, effect), world);
          // one that is refused never ends
          said?.catch(() =>
            numbers.set(
              effect,
              (numbers.get(effect) ?? []).filter((one) => one !== mine),
            ),
          );
          return said;
        },
        after: (effect) => {
          const at = numbers.get(effect)?.shift() ?? -1;
          return hook(at, 'after', pairOf(world.operation, effect), world);
        },
      };
    },
  };
}

/** A run of one of the scenarios with a hand on each effect. */
export function runScenario(
  number: number,
  hook: Hook,
  manners?: Manners,
  others: Pick<RunOptions, 'takesOver' | 'trouble' | 'troubleSteps'> = {},
): Promise<RunResult> {
  const scenario = SCENARIOS[number];
  if (scenario === undefined) throw new Error(`no scenario ${number}`);
  const options = optionsOf(scenario, hook, manners);
  return run({
    ...options,
    ...others,
    trouble: (world) => {
      options.trouble?.(world);
      others.trouble?.(world);
    },
  });
}

/** The daemon, or with `power` the machine, dies here: what awaits this never goes on. */
export function die(world: World, power = false): Promise<void> {
  world.crash({ power });
  return new Promise(() => undefined);
}

/** One run that dies at the point. */
async function runPoint(point: CrashPoint): Promise<Failure | undefined> {
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
  /** Every effect of every scenario; otherwise each pair where it comes up first, beside all of the first scenarios. */
  readonly whole: boolean;
}

/** All points. */
export async function sweep(
  { depth, every, whole }: SweepOptions = { depth: 1, every: 1, whole: false },
): Promise<SweepResult> {
  const recorded = await record();
  const known = new Set(recorded.flat());
  const explored = new Set<string>();
  const failures: SweepResult['failures'][number][] = [];
  let runs = 0;
  for (const [scenario, pairs] of recorded.entries()) {
    for (const [at, pair] of pairs.entries()) {
      if (at % every !== 0 || (!whole && explored.has(pair) && repeats(scenario, pair))) continue;
      explored.add(pair);
      for (const point of pointsAt(scenario, at, depth)) {
        runs += 1;
        const failure = await runPoint(point);
        if (failure !== undefined) failures.push({ point, pair, failure });
      }
    }
  }
  const fallen = new Set(failures.map(({ pair }) => pair));
  return {
    known,
    explored,
    survived: new Set([...explored].filter((pair) => !fallen.has(pair))),
    runs,
    failures,
  };
}

const repeats = (scenario: number, pair: string): boolean =>
  scenario >= REPEATING_FROM || pair.includes(' disk.');

/** Deaths within the recovery that are tried: it has some ten effects in these scenarios. */
const RECOVERY_EFFECTS = 10;

function pointsAt(scenario: number, at: number, depth: 1 | 2): CrashPoint[] {
  const points: CrashPoint[] = [];
  for (const when of ['before', 'after'] as const) {
    for (const power of [false, true]) points.push({ scenario, at, when, power, again: undefined });
  }
  if (depth === 1) return points;
  return Array.from({ length: RECOVERY_EFFECTS }, (_none, again) => ({
    scenario,
    at,
    when: 'after',
    power: false,
    again,
  }));
}
