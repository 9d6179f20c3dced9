/** State changes from xstate's inspection events, for the log and the recorder. They contain no payloads of events. */
import type { AnyMachineSnapshot, InspectionEvent } from 'xstate';
import { statePath } from '../actors/directory/state-path.ts';
import type { SeenEvent } from './flight/entries.ts';

export interface Transition {
  /** Such as `container/3f2a…`. */
  readonly address: string;
  /** Empty for a new actor. */
  readonly from: string;
  readonly to: string;
  /** The event's type. */
  readonly on: string;
  /** Request id and RPC where a client caused it; empty otherwise. */
  readonly cause: string;
  readonly settled: boolean;
  /** True for the actor's last change. */
  readonly final: boolean;
  /** Why something failed, if this change is the first after it. For people: it may quote a runtime (S91). */
  readonly fault?: string;
  /** How the process exited, if this change is the first after it. */
  readonly exit?: { readonly exitCode: number; readonly reason: string };
}

/** What was reported last of an actor. */
interface Last {
  readonly path: string;
  readonly children: Children;
  readonly fault: unknown;
  readonly exit: unknown;
}

/**
 * An inspector that calls `listener` once for each state change of an actor with an address, and `onEvent` once for
 * each event that its machine has handled, whether or not it changed the state.
 */
export function onTransition(
  listener: (transition: Transition) => void,
  onEvent?: (seen: SeenEvent, cause: string) => void,
): (event: InspectionEvent) => void {
  const last = new WeakMap<object, Last>();
  return (event) => {
    if (event.type !== '@xstate.snapshot') return;
    const snapshot = event.snapshot as Partial<AnyMachineSnapshot>;
    const address = addressOf(snapshot.context);
    if (address === '' || snapshot.value === undefined) return;
    const to = statePath(snapshot.value);
    const before = last.get(event.actorRef);
    const from = before?.path ?? '';
    if (from === to && onEvent === undefined) return;
    const { children = {} } = snapshot;
    const final = snapshot.status === 'done';
    const settled = final || snapshot.hasTag?.('settled' as never) === true;
    const cause = causeOf(event.event);
    const starts = startedEffects(before?.children ?? {}, children);
    const { context, value } = snapshot;
    onEvent?.({ address, to, settled, final, event: event.event, context, value, starts }, cause);
    if (from === to) {
      if (before !== undefined && before.children !== children)
        last.set(event.actorRef, { ...before, children });
      return;
    }
    const { fault, exit } = context as { readonly fault?: unknown; readonly exit?: unknown };
    last.set(event.actorRef, { path: to, children, fault, exit });
    listener({
      ...{ address, from, to, on: event.event.type, cause, settled, final },
      ...(fault === before?.fault ? {} : faultOf(fault)),
      ...(exit === before?.exit ? {} : exitOf(exit)),
    });
  };
}

type Children = Readonly<Record<string, { readonly src?: unknown } | undefined>>;

/** Names of the effects that a machine runs after an event and did not before. One of the same state may run anew. */
export function startedEffects(before: Children, after: Children): readonly string[] {
  if (before === after) return [];
  return Object.entries(after)
    .filter(([id, child]) => child !== undefined && child !== before[id])
    .map(([, child]) => (typeof child?.src === 'string' ? child.src : ''))
    .toSorted();
}

function faultOf(fault: unknown): Pick<Transition, 'fault'> {
  if (typeof fault !== 'object' || fault === null || !('message' in fault)) return {};
  return typeof fault.message === 'string' ? { fault: fault.message } : {};
}

function exitOf(exit: unknown): Pick<Transition, 'exit'> {
  if (typeof exit !== 'object' || exit === null) return {};
  const { exitCode, reason } = exit as { readonly exitCode?: unknown; readonly reason?: unknown };
  return typeof exitCode === 'number' && typeof reason === 'string' ? { exit: { exitCode, reason } } : {};
}

/** The address of an actor; empty for promises and supervisors, which have no address. */
function addressOf(context: unknown): string {
  if (typeof context !== 'object' || context === null || !('owner' in context)) return '';
  return typeof context.owner === 'string' ? context.owner : '';
}

/**
 * The Cause in an event: commands have that of their call (actors/directory/ask.ts), as have the inputs of new actors.
 */
function causeOf(event: object): string {
  const { cause: sent, input } = event as { readonly cause?: unknown; readonly input?: unknown };
  const cause =
    sent ?? (typeof input === 'object' && input !== null && 'cause' in input ? input.cause : undefined);
  if (typeof cause !== 'object' || cause === null) return '';
  const { requestId, origin } = cause as { requestId?: unknown; origin?: unknown };
  return [origin, requestId]
    .filter((word) => typeof word === 'string')
    .join(' ')
    .trim();
}
