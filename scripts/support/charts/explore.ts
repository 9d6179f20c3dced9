// Every state that a machine can get into, found by sending it every event in every state; no effect is run.
import type { AnyMachineSnapshot, AnyTransitionDefinition, EventObject, StateNode } from 'xstate';
import { getInitialMicrosteps, getMicrosteps, getNextTransitions, transition as next } from 'xstate';
import { encodePlain } from '../../../src/base/codec.ts';
import { FaultError, fault } from '../../../src/base/fault.ts';
import { statePath } from '../../../src/actors/directory/state-path.ts';
import { effectOf } from './chart.ts';
import type { Charted } from './machines.ts';

export interface Step {
  readonly event: EventObject;
  /** `done` and `after` are the world doing well, `error` doing badly, `command` a client's request. */
  readonly kind: 'command' | 'done' | 'error' | 'after';
  readonly to: string;
}

export interface Place {
  readonly key: string;
  readonly snapshot: AnyMachineSnapshot;
  readonly path: string;
  readonly steps: readonly Step[];
}

export interface Exploration {
  readonly places: ReadonlyMap<string, Place>;
  /** Transitions that were taken at least once. */
  readonly taken: ReadonlySet<AnyTransitionDefinition>;
  /** Names of the states that were active at least once. */
  readonly visited: ReadonlySet<string>;
  readonly initial: readonly string[];
}

/** More is a sign that a counter in the context grows without a bound. */
const PLACES_MAX = 60_000;

/** What the effects and timers in flight may come to, and every command. */
function eventsAt(charted: Charted, snapshot: AnyMachineSnapshot): readonly Omit<Step, 'to'>[] {
  const events: Omit<Step, 'to'>[] = charted.commands.map((event) => ({ event, kind: 'command' }));
  for (const node of nodesOf(snapshot)) {
    for (const { id, src } of node.invoke) {
      const name = effectOf({ src });
      // its own children end only by a crash, which is in the config where it is foreseen
      events.push({
        event: { type: `xstate.done.actor.${id}`, output: charted.outputs[name] } as EventObject,
        kind: 'done',
      });
      for (const kind of charted.faults?.[name] ?? (['outside'] as const)) {
        const error = new FaultError(fault(kind, `${name}: refused`));
        events.push({ event: { type: `xstate.error.actor.${id}`, error } as EventObject, kind: 'error' });
      }
    }
    for (const { eventType } of node.after) events.push({ event: { type: eventType }, kind: 'after' });
  }
  return events;
}

const nodesOf = (snapshot: AnyMachineSnapshot): readonly StateNode[] =>
  snapshot._nodes as readonly StateNode[];

/** State and what of the context can matter; of a fault only whether there is one. */
function keyOf(charted: Charted, snapshot: AnyMachineSnapshot): string {
  const path = statePath(snapshot.value);
  const context = Object.entries(snapshot.context as Record<string, unknown>)
    .filter(([name]) => !charted.ignored.includes(name) && charted.onlyIn?.[name]?.test(path) !== false)
    .map(([name, value]) => [
      name,
      /fault$/iu.test(name) ? value !== undefined : counted(charted, name, value),
    ]);
  return `${snapshot.status} ${path} ${encodePlain(context)}`;
}

function counted({ counted: lists }: Charted, name: string, value: unknown): unknown {
  const most = lists?.[name];
  return most === undefined || !Array.isArray(value) ? value : Math.min(value.length, most);
}

type Microsteps = readonly (readonly [AnyMachineSnapshot, unknown])[];

/** The transitions that have no event of their own are seen by where they led. */
function markInner(
  taken: Set<AnyTransitionDefinition>,
  before: AnyMachineSnapshot,
  after: AnyMachineSnapshot,
): void {
  for (const transition of getNextTransitions(before)) {
    if (transition.eventType !== '' && !transition.eventType.startsWith('xstate.done.state.')) continue;
    const active = new Set(nodesOf(after));
    if (transition.target?.every((target) => active.has(target as StateNode)) === true) taken.add(transition);
  }
}

const explored = new Map<Charted, Exploration>();

/** Breadth first from every input; once per process. */
export function explore(charted: Charted): Exploration {
  const known = explored.get(charted);
  if (known !== undefined) return known;
  // xstate makes an actor without input at each step only to have its scope; our contexts throw then, unseen, and a
  // third of the time would go into the stacks of these errors
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    const exploration = exploreAll(charted);
    explored.set(charted, exploration);
    return exploration;
  } finally {
    Error.stackTraceLimit = limit;
  }
}

function exploreAll(charted: Charted): Exploration {
  const { machine } = charted;
  const taken = new Set<AnyTransitionDefinition>();
  const visited = new Set<string>();
  const places = new Map<string, Place>();
  const queue: AnyMachineSnapshot[] = [];

  const follow = (
    microsteps: Microsteps,
    from: AnyMachineSnapshot | undefined,
    event?: EventObject,
  ): string => {
    let before = from;
    for (const [at, [snapshot]] of microsteps.entries()) {
      if (before !== undefined && (at > 0 || from === undefined)) markInner(taken, before, snapshot);
      for (const node of nodesOf(snapshot)) visited.add(node.path.join('.'));
      before = snapshot;
    }
    // an error that no state foresees ends the machine; only the whole step shows it
    const isError = event?.type.startsWith('xstate.error.') === true && from !== undefined;
    const last = isError ? next(machine, from, event)[0] : (before as AnyMachineSnapshot);
    const key = keyOf(charted, last);
    if (!places.has(key)) {
      if (places.size >= PLACES_MAX)
        throw new Error(`${charted.name}: more than ${PLACES_MAX} states; the last is ${key}`);
      places.set(key, { key, snapshot: last, path: statePath(last.value), steps: [] });
      queue.push(last);
    }
    return key;
  };

  const initial = charted.inputs.map((input) =>
    follow(getInitialMicrosteps(machine, input) as Microsteps, undefined),
  );
  for (let at = 0; at < queue.length; at += 1) {
    const snapshot = queue[at] as AnyMachineSnapshot;
    const key = keyOf(charted, snapshot);
    const steps: Step[] = [];
    if (snapshot.status === 'active') {
      for (const { event, kind } of eventsAt(charted, snapshot)) {
        const transitions = machine.getTransitionData(
          snapshot as never,
          event,
        ) as readonly AnyTransitionDefinition[];
        for (const transition of transitions) taken.add(transition);
        // nothing happens at what no transition takes, an error excepted
        const isIgnored = transitions.length === 0 && kind !== 'error';
        steps.push({
          event,
          kind,
          to: isIgnored
            ? key
            : follow(getMicrosteps(machine, snapshot, event) as Microsteps, snapshot, event),
        });
      }
    }
    places.set(key, { ...(places.get(key) as Place), steps });
  }
  return { places, taken, visited, initial };
}
