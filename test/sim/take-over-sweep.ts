/**
 * F92: another daemon takes over at each effect of a pod’s life, where no call may fail. Then one dies, or the
 * machine, at each step of that take-over: one serves, and nothing is lost.
 */
import type { Failure } from './run.ts';
import { runScenario } from './sweep.ts';
import type { World } from './world.ts';

export type Victim = 'former' | 'next' | 'power';
const VICTIMS: readonly Victim[] = ['former', 'next', 'power'];

/** Scenarios of the sweep: of a stop that is obeyed, a shared PID namespace, a grace, a resize, and checkpoints. */
const SWEPT: readonly number[] = [0, 1, 3, 6, 32, 34];

/** Where one run differs from the next. */
export interface TakeOverPoint {
  readonly scenario: number;
  /** Number of the effect before which the take-over begins. */
  readonly at: number;
  /** Who dies how many steps after that; undefined for nobody. */
  readonly death: { readonly victim: Victim; readonly steps: number } | undefined;
}

export interface TakeOverSweep {
  readonly takeOvers: number;
  readonly deaths: number;
  /** Take-overs at whose end another daemon served. */
  readonly handedOver: number;
  readonly failures: readonly { readonly point: TakeOverPoint; readonly failure: Failure }[];
}

export interface TakeOverSweepOptions {
  /** Only each n-th effect of a scenario. */
  readonly effects: number;
  /** Of these, a death only in each n-th, at each n-th step. */
  readonly deathsIn: number;
  readonly steps: number;
  readonly scenarios?: readonly number[];
}

/** All points. */
export async function sweepTakeOvers({
  effects,
  deathsIn,
  steps,
  scenarios = SWEPT,
}: TakeOverSweepOptions): Promise<TakeOverSweep> {
  const failures: { point: TakeOverPoint; failure: Failure }[] = [];
  let [takeOvers, deaths, handedOver, nth] = [0, 0, 0, 0];
  const runOne = async (point: TakeOverPoint): Promise<Course> => {
    const course = await runTakeOver(point);
    if (course.failure !== undefined) failures.push({ point, failure: course.failure });
    return course;
  };
  for (const scenario of scenarios) {
    for (let at = 0; ; at += effects) {
      const course = await runOne({ scenario, at, death: undefined });
      // there is no such effect any more
      if (course.lasted === 0) break;
      takeOvers += 1;
      handedOver += course.handedOver;
      nth += 1;
      if (nth % deathsIn !== 0) continue;
      for (let step = nth % steps; step <= course.lasted; step += steps) {
        for (const victim of VICTIMS) {
          await runOne({ scenario, at, death: { victim, steps: step } });
          deaths += 1;
        }
      }
    }
  }
  return { takeOvers, deaths, handedOver, failures };
}

interface Course {
  readonly failure: Failure | undefined;
  /** Steps from the begin of the take-over until the new daemon is on its own; 0 without one. */
  readonly lasted: number;
  readonly handedOver: number;
}

/** One run. */
async function runTakeOver({ scenario, at, death }: TakeOverPoint): Promise<Course> {
  let begun = -1;
  let lasted = 0;
  let isDead = false;
  let isOver = false;
  const { failure, world } = await runScenario(
    scenario,
    (number, when, _pair, now) => {
      if (number < at || when !== 'before' || begun >= 0 || now.daemons?.isReachable !== true)
        return undefined;
      now.daemons.calls.mustSucceed = death === undefined;
      if (now.daemons.takeOver()) begun = now.scheduler.steps;
      return undefined;
    },
    undefined,
    {
      takesOver: true,
      troubleSteps: 100_000,
      trouble: (now) => {
        if (begun < 0) return;
        const step = now.scheduler.steps - begun;
        isOver ||= hasEnded(now);
        if (!isOver) lasted = step;
        if (death === undefined || isDead || step < death.steps) return;
        isDead = true;
        die(now, death.victim);
      },
    },
  );
  return { failure, lasted, handedOver: world.daemons?.made.handedOver ?? 0 };
}

/** The former daemon has ended: its sessions did, and the new one was good for long enough. */
function hasEnded({ daemons }: World): boolean {
  return (daemons?.running.length ?? 0) < 2;
}

function die(world: World, victim: Victim): void {
  const running = world.daemons?.running ?? [];
  if (victim === 'power') world.crash({ power: true });
  else {
    const one = victim === 'former' ? running[0] : running[1];
    if (one !== undefined) world.daemons?.kill(one);
  }
}
