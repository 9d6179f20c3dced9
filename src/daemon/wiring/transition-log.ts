/** One log line per change of state: settled states at info, all others at debug. */
import type { Log } from '../../base/log.ts';
import type { Transition } from '../../introspection/transitions.ts';

/** Writes a change of state to this log. */
export function transitionLog(log: Log): (transition: Transition) => void {
  return ({ address, from, to, on, cause, settled }) => {
    const line = { actor: address, from, to, on, ...(cause === '' ? {} : { cause }) };
    if (settled) log.info(line, 'state');
    else log.debug(line, 'state');
  };
}
