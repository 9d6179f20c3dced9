/**
 * SIGCHLD, as often as it is of use. Who is in a container can have it sent to us at any rate: each stop and continuation of a
 * child of ours (an exec's process is one) sends it, and so does each end of an orphan in a pod that has the host's PIDs
 * (S89). So stops are left out (SA_NOCLDSTOP), and in a span that has had its passes nobody listens: one pass at its
 * end sees all that has ended meanwhile.
 */
import { constants } from 'node:os';
import { Pace } from '../../base/pace.ts';
import { hostLimits } from '../bounds.ts';
import { realClock } from '../clock/clock.ts';
import { must } from '../ffi/errno.ts';
import { SA_NOCLDSTOP, SIGACTION_BYTES, SIGACTION_FLAGS_OFFSET } from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';

/**
 * Calls `onChange` after changes among this process's children, for several of them once. It answers whether it has left
 * some for the next time.
 */
export function hearChildren(onChange: () => boolean): void {
  const clock = realClock();
  const pace = new Pace(hostLimits.reaping);
  const onSignal = (): void => {
    const waitMs = pace.take(clock.monoMs());
    if (waitMs > 0) rest(waitMs);
    else if (onChange()) rest(hostLimits.reaping.everyMs);
  };
  const listen = (): void => {
    process.on('SIGCHLD', onSignal);
    leaveOutStops();
  };
  const rest = (ms: number): void => {
    process.off('SIGCHLD', onSignal);
    clock.setTimeout(() => {
      listen();
      // what came while nobody listened
      onSignal();
    }, ms);
  };
  listen();
}

/** libuv sets its handler when the first listener comes, and leaves it until the last has gone. */
function leaveOutStops(): void {
  const action = Buffer.alloc(SIGACTION_BYTES);
  must(callSync(libc.sigaction, constants.signals.SIGCHLD, null, action), 'read the handler of', 'SIGCHLD');
  action.writeInt32LE(action.readInt32LE(SIGACTION_FLAGS_OFFSET) | SA_NOCLDSTOP, SIGACTION_FLAGS_OFFSET);
  must(callSync(libc.sigaction, constants.signals.SIGCHLD, action, null), 'set the handler of', 'SIGCHLD');
}
