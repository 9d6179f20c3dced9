/** State changes from xstate's inspection events, for the log and the recorder. They contain no payloads of events. */
import type { AnyMachineSnapshot, InspectionEvent } from 'xstate';
import { statePath } from '../actors/directory/state-path.ts';

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
}

/** An inspector that calls `listener` once for each state change of an actor with an address. */
export function onTransition(listener: (transition: Transition) => void): (event: InspectionEvent) => void {
  const last = new WeakMap<object, string>();
  return (event) => {
    if (event.type !== '@xstate.snapshot') return;
    const snapshot = event.snapshot as Partial<AnyMachineSnapshot>;
    const address = addressOf(snapshot.context);
    if (address === '' || snapshot.value === undefined) return;
    const to = statePath(snapshot.value);
    const from = last.get(event.actorRef) ?? '';
    if (from === to) return;
    last.set(event.actorRef, to);
    const final = snapshot.status === 'done';
    const settled = final || snapshot.hasTag?.('settled' as never) === true;
    listener({ address, from, to, on: event.event.type, cause: causeOf(event.event), settled, final });
  };
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
