/** One log line per change of state (house rule 6): settled ones at info, those between at debug. No payloads. */
import type { AnyMachineSnapshot, InspectionEvent } from 'xstate';
import { statePath } from '../actors/state-path.ts';
import type { Log } from '../base/log.ts';

/** An inspector for createTroupe that writes to this log. */
export function transitionLog(log: Log): (event: InspectionEvent) => void {
  const last = new WeakMap<object, string>();
  return (event) => {
    if (event.type !== '@xstate.snapshot') return;
    const snapshot = event.snapshot as Partial<AnyMachineSnapshot>;
    const address = addressOf(snapshot.context);
    if (address === '' || snapshot.value === undefined) return;
    const path = statePath(snapshot.value);
    if (last.get(event.actorRef) === path) return;
    const from = last.get(event.actorRef) ?? '';
    last.set(event.actorRef, path);
    const isSettled = snapshot.hasTag?.('settled' as never) === true || snapshot.status === 'done';
    const line = { actor: address, from, to: path, on: event.event.type };
    if (isSettled) log.info(line, 'state');
    else log.debug(line, 'state');
  };
}

/** Only actors of ours with an address are told: promises and supervisors have none. */
function addressOf(context: unknown): string {
  if (typeof context !== 'object' || context === null || !('owner' in context)) return '';
  return typeof context.owner === 'string' ? context.owner : '';
}
