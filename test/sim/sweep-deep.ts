/**
 * F10 whole: death at every effect of every scenario, by kill and by power loss, and a second one at every effect of
 * the recovery that follows, by both. A death whose outcome is a state that another death of the same scenario has left
 * already is not run again: of what is on disks and in the kernel, and of what clients know, nothing differs.
 */
import type { Failure } from './run.ts';
import { WORLD } from './scheduler.ts';
import { StateHash } from './state-hash.ts';
import { die, runScenario, SCENARIO_COUNT } from './sweep.ts';
import type { Hook } from './sweep.ts';
import type { World } from './world.ts';

/** A death at the effect `at`, counted from the begin of the run or of the recovery. */
export interface Death {
  readonly at: number;
  readonly when: 'before' | 'after';
  readonly power: boolean;
  /** `operation port.method` of the effect. */
  readonly pair: string;
}

export interface DeepFailure {
  readonly scenario: number;
  readonly deaths: readonly Death[];
  readonly failure: Failure;
}

export interface DeepResult {
  /** Pairs of operation and effect, each a crash point. */
  readonly known: readonly string[];
  /** Deaths at every effect of every scenario, and how many of them leave different states: each of these was run. */
  readonly points: number;
  readonly states: number;
  /** The same for second deaths. */
  readonly secondPoints: number;
  readonly secondStates: number;
  readonly failures: readonly DeepFailure[];
}

/** Of the chosen scenarios; 1 leaves the second deaths out. */
export async function sweepDeep(depth: 1 | 2, scenarios = scenarioNumbers()): Promise<DeepResult> {
  const known = new Set<string>();
  const total = { points: 0, states: 0, secondPoints: 0, secondStates: 0, failures: [] as DeepFailure[] };
  for (const scenario of scenarios) {
    const first = new Deaths();
    await runScenario(scenario, (at, when, pair, world) => {
      known.add(pair);
      return first.note({ at, when, pair }, world);
    });
    const second = new Deaths();
    const pairs: (readonly [Death, Death])[] = [];
    for (const death of first.different()) {
      const { failure } = await runScenario(scenario, dyingOnce(death, second));
      if (failure !== undefined) total.failures.push({ scenario, deaths: [death], failure });
      for (const again of second.different()) pairs.push([death, again]);
    }
    total.points += first.points;
    total.states += first.states;
    if (depth === 1) continue;
    for (const deaths of pairs) {
      const { failure } = await runScenario(scenario, dyingTwice(...deaths));
      if (failure !== undefined) total.failures.push({ scenario, deaths, failure });
    }
    total.secondPoints += second.points;
    total.secondStates += second.states;
  }
  return { ...total, known: [...known] };
}

/** All scenarios. */
export function scenarioNumbers(): readonly number[] {
  return Array.from({ length: SCENARIO_COUNT }, (_none, number) => number);
}

/** Adds up what parts of the scenarios gave. */
export function sumOf(parts: readonly DeepResult[]): DeepResult {
  const sum = (of: 'points' | 'states' | 'secondPoints' | 'secondStates'): number =>
    parts.reduce((so, part) => so + part[of], 0);
  return {
    known: [...new Set(parts.flatMap(({ known }) => known))],
    points: sum('points'),
    states: sum('states'),
    secondPoints: sum('secondPoints'),
    secondStates: sum('secondStates'),
    failures: parts.flatMap(({ failures }) => failures),
  };
}

/** Deaths by what they leave. */
class Deaths {
  points = 0;
  readonly #seen = new Set<string>();
  #new: Death[] = [];
  #hash: StateHash | undefined;
  #world: World | undefined;

  get states(): number {
    return this.#seen.size;
  }

  note({ at, when, pair }: Omit<Death, 'power'>, world: World): undefined {
    if (this.#world !== world) this.#hash = new StateHash(world);
    this.#world = world;
    const state = `${this.#hash?.outside() ?? ''} ${world.scheduler.labels(WORLD).join()}`;
    for (const power of [false, true]) {
      this.points += 1;
      const key = `${power ? 'power' : 'kill'} ${state}`;
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      this.#new.push({ at, when, power, pair });
    }
    return undefined;
  }

  /** Those noted since the last call whose state was not known before. */
  different(): readonly Death[] {
    const found = this.#new;
    this.#new = [];
    return found;
  }
}

/** Notes the deaths that could follow until the next instance serves. */
function dyingOnce({ at, when, power }: Death, second: Deaths): Hook {
  let effect = -1;
  let isDead = false;
  let isOver = false;
  return (number, moment, pair, world) => {
    if (!isDead) {
      if (number !== at || moment !== when) return undefined;
      isDead = true;
      return die(world, power);
    }
    isOver ||= world.serving;
    if (isOver) return undefined;
    effect += 1;
    return second.note({ at: effect, when: moment, pair }, world);
  };
}

function dyingTwice(first: Death, second: Death): Hook {
  let effect = -1;
  let deaths = 0;
  return (number, moment, _pair, world) => {
    if (deaths === 0) {
      if (number !== first.at || moment !== first.when) return undefined;
      deaths = 1;
      return die(world, first.power);
    }
    if (deaths > 1) return undefined;
    effect += 1;
    if (effect !== second.at) return undefined;
    deaths = 2;
    return die(world, second.power);
  };
}
