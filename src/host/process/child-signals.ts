/**
 * Limits how often SIGCHLD is handled. A process in a container can cause it at any rate: each stop and
 * continuation of a child of ours (such as an exec's process) sends it, and so does each exit of an orphan in
 * a pod with the host's PID namespace (S89). So stops are excluded (SA_NOCLDSTOP), and once a span has had
 * its passes nothing listens until its end: one pass then sees all children that ended meanwhile.
 */
import { constants } from 'node:os';
import { Pace } from '../../base/pace.ts';
import { hostLimits } from '../bounds.ts';
import { realClock } from '../clock/clock.ts';
import { must } from '../ffi/errno.ts';
import { SA_NOCLDSTOP, SIGACTION_BYTES, SIGACTION_FLAGS_OFFSET } from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';

/**
 * Calls `onChange` after changes among this process's children, once for several changes. It returns whether
 * it has left some children for the next pass.
 */
export function onChildChange(onChange: () => boolean): void {
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
      // handle the signals that came while nothing listened
      onSignal();
    }, ms);
  };
  listen();
}

/**
 * libuv installs its handler with the first listener and removes it with the last, so the flag must be set
 * each time.
 */
function leaveOutStops(): void {
  const action = Buffer.alloc(SIGACTION_BYTES);
  must(callSync(libc.sigaction, constants.signals.SIGCHLD, null, action), 'read the handler of', 'SIGCHLD');
  action.writeInt32LE(action.readInt32LE(SIGACTION_FLAGS_OFFSET) | SA_NOCLDSTOP, SIGACTION_FLAGS_OFFSET);
  must(callSync(libc.sigaction, constants.signals.SIGCHLD, action, null), 'set the handler of', 'SIGCHLD');
}
