/**
 * A bug in an actor: a transition throws, once, before its actions or after them. It is thrown where xstate calls the
 * machine, so that all actions, guards and assignments of our machines are covered without a list of them.
 */
import { type AnyMachineSnapshot, type EventObject, StateMachine } from 'xstate';
import type { RunResult } from './run.ts';
import { runScenario, SCENARIO_COUNT } from './sweep.ts';
import type { World } from './world.ts';

/** The machines whose actors a supervisor has, by id. The root and what sweeps end with the daemon. */
const SUPERVISED: readonly string[] = ['container', 'sandbox', 'image-pull'];

export interface Site {
  readonly scenario: number;
  /** Machine, state and event. */
  readonly transition: string;
}

type When = 'before' | 'after';
type Transition = (this: { readonly id: string }, ...args: unknown[]) => unknown;

let see: ((transition: string, when: When) => void) | undefined;

// for the whole process: a machine binds the method when it is built, and it is built once
const prototype: { transition: Transition } = StateMachine.prototype as never;
const { transition: real } = prototype;
prototype.transition = function watched(...args) {
  const [snapshot, event] = args as [AnyMachineSnapshot, EventObject];
  if (see === undefined || !SUPERVISED.includes(this.id)) return real.apply(this, args);
  const name = `${this.id} ${JSON.stringify(snapshot.value)} ${event.type}`;
  see(name, 'before');
  const next = real.apply(this, args);
  see(name, 'after');
  return next;
};

/** Calls `seen` before and after each transition of a supervised actor, while `work` runs. */
async function watching<T>(seen: NonNullable<typeof see>, work: () => Promise<T>): Promise<T> {
  see = seen;
  try {
    return await work();
  } finally {
    see = undefined;
  }
}

/** Every transition that the scenarios of the crash sweep take, each at the first of them that takes it. */
export async function sites(): Promise<readonly Site[]> {
  const found = new Map<string, Site>();
  for (let scenario = 0; scenario < SCENARIO_COUNT; scenario += 1)
    await watching(
      (transition) => {
        if (!found.has(transition)) found.set(transition, { scenario, transition });
      },
      () => runScenario(scenario, () => undefined),
    );
  return [...found.values()];
}

/** A pull has nothing durable to go on from: its callers are answered with the bug, and pull again. */
const ANSWERED = 'its actor crashed before anything was recorded';

/** Such an answer is no failure of the run. */
function allowAnswer({ history: { wrongs } }: World): void {
  wrongs.push = (...all) =>
    Array.prototype.push.apply(
      wrongs,
      all.filter((wrong) => !wrong.includes(ANSWERED)),
    );
}

/** The scenario with one throw. */
export async function throwAt(
  { scenario, transition }: Site,
  when: When,
): Promise<RunResult & { readonly threw: boolean }> {
  let threw = false;
  const result = await watching(
    (name, now) => {
      if (threw || name !== transition || now !== when) return;
      threw = true;
      throw new Error(`thrown ${when} ${transition}`);
    },
    () =>
      runScenario(scenario, (_at, _when, _effect, world) => {
        allowAnswer(world);
        return undefined;
      }),
  );
  return { ...result, threw };
}
