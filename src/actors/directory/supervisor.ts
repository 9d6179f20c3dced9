/**
 * A supervisor: hand-written actor logic over a Map of children, since an xstate machine with many spawned children
 * costs O(N²). It starts children, drops those that end, and rebuilds one that crashed from the journal and
 * the machine's state. A child that crashes more than `restartsMax` times in `restartWindowMs` is quarantined.
 *
 * `parent` of createActor is not a documented option of xstate; a unit test fails when an upgrade changes it.
 */
import type {
  ActorLogic,
  ActorScope,
  AnyActorLogic,
  AnyActorRef,
  EventObject,
  InputFrom,
  Snapshot,
  SnapshotFrom,
} from 'xstate';
import { createActor } from 'xstate';
import { fault, toFault } from '../../base/fault.ts';
import { actorLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import type { Activity } from '../effects/activity.ts';
import type { Directory } from './directory.ts';
import type { ClockPort } from '../../ports/clock.ts';
import { QUARANTINED } from './states.ts';
import type { View } from './views.ts';

export type SupervisorEvent<I> =
  | { readonly type: 'child.start'; readonly address: string; readonly input: I }
  | { readonly type: 'child.rebuilt'; readonly address: string; readonly input: I | undefined };

export interface SupervisorOptions<L extends AnyActorLogic> {
  readonly logic: L;
  readonly view: (snapshot: SnapshotFrom<L>) => View;
  readonly directory: Directory;
  readonly activity: Activity;
  readonly clock: ClockPort;
  readonly log: Log;
  /** The input with which a restarted daemon would start the child now; undefined when nothing durable is left. */
  readonly rebuild: (address: string) => Promise<InputFrom<L> | undefined>;
}

interface Children {
  readonly refs: Map<string, AnyActorRef>;
  /** When each child crashed lately, in monotonic milliseconds. */
  readonly crashes: Map<string, readonly number[]>;
}

export type SupervisorSnapshot = Snapshot<undefined> & { readonly members: Children };

type AnySupervisorEvent<I> = SupervisorEvent<I> | (EventObject & { readonly error?: unknown });
type Scope<I> = ActorScope<SupervisorSnapshot, AnySupervisorEvent<I>>;

const DONE = 'xstate.done.actor.';
const ERROR = 'xstate.error.actor.';

/** The logic of one supervisor; each is started once under the root. */
export function supervisorLogic<L extends AnyActorLogic>(
  options: SupervisorOptions<L>,
): ActorLogic<SupervisorSnapshot, AnySupervisorEvent<InputFrom<L>>> {
  type I = InputFrom<L>;
  return {
    getInitialSnapshot: () => ({
      status: 'active',
      output: undefined,
      error: undefined,
      // not named `children`: xstate treats a property of that name as its own
      members: { refs: new Map(), crashes: new Map() },
    }),
    transition: (snapshot, event, scope) => {
      const { members } = snapshot;
      if (isStart<I>(event)) start(options, members, event.address, event.input, scope);
      else if (isRebuilt<I>(event)) rebuilt(options, members, event.address, event.input, scope);
      else if (event.type.startsWith(DONE)) ended(options, members, event.type.slice(DONE.length));
      else if (event.type.startsWith(ERROR)) crashed(options, members, event, scope);
      return snapshot;
    },
    getPersistedSnapshot: (snapshot) => snapshot,
  };
}

function isStart<I>(event: AnySupervisorEvent<I>): event is SupervisorEvent<I> & { type: 'child.start' } {
  return event.type === 'child.start';
}

function isRebuilt<I>(event: AnySupervisorEvent<I>): event is SupervisorEvent<I> & { type: 'child.rebuilt' } {
  return event.type === 'child.rebuilt';
}

function start<L extends AnyActorLogic>(
  options: SupervisorOptions<L>,
  children: Children,
  address: string,
  input: InputFrom<L>,
  scope: Scope<InputFrom<L>>,
): void {
  const actorOptions = { parent: scope.self, id: address, systemId: address, input };
  const ref: AnyActorRef = createActor(options.logic as AnyActorLogic, actorOptions);
  children.refs.set(address, ref);
  ref.subscribe({
    next: (snapshot) => {
      if (snapshot.status === 'active') options.directory.put(options.view(snapshot), ref);
    },
    // the supervisor gets the error as an event, too; without this observer xstate rethrows it in a timer
    error: () => undefined,
  });
  scope.defer(() => ref.start());
}

function ended<L extends AnyActorLogic>(
  options: SupervisorOptions<L>,
  children: Children,
  address: string,
): void {
  const ref = children.refs.get(address);
  if (ref === undefined) return;
  children.refs.delete(address);
  children.crashes.delete(address);
  options.directory.drop(options.view(ref.getSnapshot()));
}

/** A crash is a bug in the actor, never a container's failure: rebuild it from what is durable. */
function crashed<L extends AnyActorLogic>(
  options: SupervisorOptions<L>,
  children: Children,
  event: EventObject & { readonly error?: unknown },
  scope: Scope<InputFrom<L>>,
): void {
  const address = event.type.slice(ERROR.length);
  const now = options.clock.monoMs();
  const recent = (children.crashes.get(address) ?? []).filter((at) => now - at < actorLimits.restartWindowMs);
  children.crashes.set(address, [...recent, now]);
  const reason = toFault(event.error).message;
  if (recent.length >= actorLimits.restartsMax) {
    options.log.error({ actor: address, reason }, 'actor quarantined');
    quarantine(options, children, address, reason);
    return;
  }
  const ref = children.refs.get(address);
  if (ref !== undefined && options.directory.view(address) !== undefined)
    options.directory.put(options.view(ref.getSnapshot()), ref);
  options.log.error({ actor: address, reason }, 'actor crashed, rebuilding it');
  const rebuild = async (): Promise<InputFrom<L> | undefined> => {
    await options.activity.endAll(address);
    return options.rebuild(address);
  };
  rebuild().then(
    (input) => scope.self.send({ type: 'child.rebuilt', address, input }),
    (thrown: unknown) => {
      options.log.error(
        { actor: address, reason: toFault(thrown).message },
        'rebuild actor: failed, quarantining it',
      );
      quarantine(options, children, address, toFault(thrown).message);
    },
  );
}

function rebuilt<L extends AnyActorLogic>(
  options: SupervisorOptions<L>,
  children: Children,
  address: string,
  input: InputFrom<L> | undefined,
  scope: Scope<InputFrom<L>>,
): void {
  if (input !== undefined) {
    start(options, children, address, input, scope);
    return;
  }
  children.refs.delete(address);
  const view = options.directory.view(address);
  if (view !== undefined) {
    options.directory.drop({
      ...view,
      fault: view.fault ?? fault('bug', `${address}: its actor crashed before anything was recorded`),
    });
  }
}

/** Keeps the actor listed with the reason; Stop and Remove then work by recovery/sweep.ts. */
function quarantine<L extends AnyActorLogic>(
  options: SupervisorOptions<L>,
  children: Children,
  address: string,
  reason: string,
): void {
  const ref = children.refs.get(address);
  const view = options.directory.view(address);
  if (ref === undefined || view === undefined) return;
  const why = fault('bug', `${address}: quarantined after ${actorLimits.restartsMax + 1} crashes: ${reason}`);
  const quarantined = { ...view, state: QUARANTINED, path: QUARANTINED, settled: true, fault: why };
  // not ready: a sandbox without an actor must neither be returned to a client nor get containers
  options.directory.put(quarantined.kind === 'sandbox' ? { ...quarantined, ready: false } : quarantined, ref);
}
