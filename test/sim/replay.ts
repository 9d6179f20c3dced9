// Plays recorded events of the flight recorder, outcomes of effects among them, against the machines of this checkout:
// where does a machine now go elsewhere, or start other effects? An actor begins with its recorded input, or with the
// context that its first event of a segment carries. What a call decides before an actor gets an event, and what a
// driver does, is not played: requests are not recorded.
import type { AnyMachineSnapshot, AnyStateMachine, EventObject } from 'xstate';
import { initialTransition, transition } from 'xstate';
import { machinesOf } from '../../src/actors/machines.ts';
import type { MachineParts } from '../../src/actors/machines.ts';
import { statePath } from '../../src/actors/directory/state-path.ts';
import { UndoError } from '../../src/actors/effects/undo.ts';
import type { FaultKind } from '../../src/base/fault.ts';
import { fault, FaultError } from '../../src/base/fault.ts';
import type { FlightEntry, EventEntry, Fact, Facts } from '../../src/introspection/flight/entries.ts';
import { contextFacts } from '../../src/introspection/flight/reduce.ts';
import { startedEffects } from '../../src/introspection/transitions.ts';
import { NO_LIMITS } from '../../src/ports/resources.ts';

/** The machines by the kind of their actors' addresses. */
export interface ReplayedMachines {
  readonly sandbox: AnyStateMachine;
  readonly container: AnyStateMachine;
  readonly pull: AnyStateMachine;
}

export interface Difference {
  /** Index of the entry. */
  readonly at: number;
  readonly actor: string;
  readonly on: string;
  readonly recorded: string;
  readonly replayed: string;
  /** The recorded events of the actor up to this one, as `event → state`. */
  readonly history: readonly string[];
}

export interface Replayed {
  readonly events: number;
  /** Events that changed the state. */
  readonly transitions: number;
  readonly actors: number;
  /** Events that are outcomes of effects, and those of them that failed. */
  readonly outcomes: number;
  readonly failures: number;
  /** Effects that the machines started. */
  readonly effects: number;
  /** Calls of clients that caused an event. */
  readonly calls: number;
  /** Events before the first one of their actor that can be replayed. */
  readonly skipped: number;
  readonly differences: readonly Difference[];
}

/** As the machines run in the daemon; no effect is ever called. */
export function replayedMachines(): ReplayedMachines {
  return machinesOf(idle({}) as MachineParts);
}

/** Effects are built from the parts, and none is called: any member of any part will do. */
function idle(target: object): object {
  return new Proxy(target, { get: (_none, name) => (name === 'then' ? undefined : idle(() => undefined)) });
}

interface Played {
  snapshot: AnyMachineSnapshot;
  path: string;
  /** Effects that the last event has started. */
  readonly starts: readonly string[];
  readonly history: string[];
}

/** Plays the entries in their order. */
export function replay(
  entries: readonly FlightEntry[],
  machines: ReplayedMachines = replayedMachines(),
): Replayed {
  const playing = new Map<string, Played>();
  const seen = new Set<string>();
  const differences: Difference[] = [];
  const count = { events: 0, transitions: 0, outcomes: 0, failures: 0, effects: 0, skipped: 0 };
  const calls = new Set<string>();
  // those of earlier versions have none
  const hasStarts = entries.some((entry) => entry.kind === 'event' && entry.starts !== undefined);
  for (const [at, entry] of entries.entries()) {
    // a new instance rebuilds its actors; after a gap an actor's state is unknown
    if (entry.kind === 'boot' || entry.kind === 'dropped') playing.clear();
    if (entry.kind !== 'event') continue;
    const { actor, on, to } = entry;
    const before = playing.get(actor);
    const history = [...(before?.history ?? []), `${on} → ${to}`];
    const differs = (replayed: string): void => {
      differences.push({ at, actor, on, recorded: to, replayed, history });
      playing.delete(actor);
    };
    try {
      const after = play(entry, before, machineOf(actor, machines));
      if (after === undefined) {
        count.skipped += 1;
        continue;
      }
      count.events += 1;
      seen.add(actor);
      if (entry.cause !== undefined) calls.add(entry.cause);
      if (before?.path !== to) count.transitions += 1;
      const isFailure = on.startsWith('xstate.error.');
      if (isFailure) count.failures += 1;
      if (isFailure || on.startsWith('xstate.done.')) count.outcomes += 1;
      count.effects += after.starts.length;
      const replayed = differenceOf(entry, before, after, hasStarts);
      if (replayed === undefined) playing.set(actor, { ...after, path: to, history });
      else differs(replayed);
    } catch (thrown) {
      // such as a recorded state that the machine no longer has
      differs(`an error: ${String(thrown)}`);
    }
  }
  return { ...count, actors: seen.size, calls: calls.size, differences };
}

function machineOf(address: string, { sandbox, container, pull }: ReplayedMachines): AnyStateMachine {
  if (address.startsWith('sandbox/')) return sandbox;
  return address.startsWith('container/') ? container : pull;
}

/** The machine's next snapshot; undefined where nothing is known of the actor. */
function play(
  { actor, on, payload = {}, value, context }: EventEntry,
  before: Played | undefined,
  machine: AnyStateMachine,
): Played | undefined {
  const made = (snapshot: AnyMachineSnapshot): Played => ({
    snapshot,
    path: statePath(snapshot.value),
    starts: startedEffects(before?.snapshot.children ?? {}, snapshot.children),
    history: [],
  });
  if (on === 'xstate.init') return made(initialTransition(machine, inputOf(actor, payload))[0]);
  if (before !== undefined) return made(transition(machine, before.snapshot, eventOf(on, payload))[0]);
  if (context === undefined || value === undefined) return undefined;
  return made(machine.resolveState({ value: value as string, context: inputOf(actor, context) }));
}

/** What the machine does instead; undefined where it does the same. */
function differenceOf(
  { on, to, context, starts = [] }: EventEntry,
  before: Played | undefined,
  { snapshot, path, starts: started }: Played,
  hasStarts: boolean,
): string | undefined {
  if (path !== to) return path;
  // the effects of an actor that was taken up in the middle of its life run already
  const isKnown = hasStarts && (before !== undefined || on === 'xstate.init');
  if (isKnown && started.join() !== starts.join())
    return `${path} starting ${started.join(', ') || 'nothing'}, recorded ${starts.join(', ') || 'nothing'}`;
  if (before === undefined || context === undefined) return undefined;
  const [recorded, replayed] = [
    JSON.stringify(context),
    JSON.stringify(contextFacts(snapshot.context as object)),
  ];
  return recorded === replayed ? undefined : `${path} with context ${replayed}, recorded ${recorded}`;
}

type Made = Record<string, unknown>;

/** Context or input of a machine, from its facts. What no machine reads is empty. */
function inputOf(owner: string, facts: Facts): Made {
  const made: Made = { ips: [], updated: [] };
  for (const [key, fact] of Object.entries(facts)) made[key] = valueOf(key, fact);
  return { ...made, owner };
}

const FAULTS: ReadonlySet<string> = new Set(['fault', 'startFault', 'releaseFault', 'updateFault']);
const PROCESSES: ReadonlySet<string> = new Set(['init', 'pause']);

function valueOf(key: string, fact: Fact | undefined): unknown {
  if (key.endsWith('Ns') && typeof fact === 'string') return BigInt(fact);
  if (!isFacts(fact)) return key === 'updates' ? (fact as readonly Facts[]).map(updateOf) : fact;
  if (FAULTS.has(key)) return faultOf(fact);
  if (PROCESSES.has(key)) return processOf(fact);
  if (key === 'exit') return exitOf(fact);
  if (key === 'interrupted') return updateOf(fact);
  return key === 'spec' ? specOf(fact) : fact;
}

const isFacts = (fact: Fact | undefined): fact is Facts =>
  typeof fact === 'object' && fact !== null && !Array.isArray(fact);

const factsIn = (fact: Fact | undefined): Facts => (isFacts(fact) ? fact : {});

function faultOf({ kind, retryable }: Facts) {
  return fault(kind as FaultKind, 'recorded', { retryable: retryable === true });
}

function processOf({ pid }: Facts) {
  return { pid: Number(pid), startTicks: 0n, bootId: '' };
}

function bigintOf(fact: Fact | undefined): bigint {
  return typeof fact === 'string' ? BigInt(fact) : 0n;
}

function exitOf({ finishedAtNs, ...rest }: Facts) {
  return { ...rest, finishedAtNs: bigintOf(finishedAtNs), message: '' };
}

function updateOf({ opId }: Facts) {
  return { opId, change: NO_LIMITS };
}

/** Has the fields of both specs: each machine reads its own. */
function specOf({ key, network, pid, needsPause, restores }: Facts) {
  const namespaces = { network, pid };
  return {
    key,
    namespaces,
    security: { namespaces },
    handler: '',
    runtime: { name: '', needsPause },
    resources: NO_LIMITS,
    ...(restores === true ? { restore: { from: {} } } : {}),
  };
}

function eventOf(type: string, payload: Facts): EventObject {
  if (type.startsWith('xstate.done.')) return { type, output: outputOf(payload) } as EventObject;
  if (type.startsWith('xstate.error.')) return { type, error: errorOf(payload) } as EventObject;
  if (type === 'container.exited') return { type, exit: exitOf(payload) } as EventObject;
  if (type === 'container.update') return { type, update: updateOf(payload) } as EventObject;
  const made: Made = {};
  for (const [key, fact] of Object.entries(payload)) made[key] = valueOf(key, fact);
  return { ...made, type };
}

function outputOf(payload: Facts): unknown {
  const { pid, startedAtNs, init } = payload;
  if (pid !== undefined) return processOf(payload);
  return {
    ...(startedAtNs === undefined ? {} : { startedAtNs: bigintOf(startedAtNs) }),
    ...(init === undefined ? {} : { init: processOf(factsIn(init)) }),
  };
}

function errorOf(payload: Facts): Error {
  const { undone } = payload;
  return Array.isArray(undone)
    ? new UndoError(faultOf(payload), undone.map(String))
    : new FaultError(faultOf(payload));
}
