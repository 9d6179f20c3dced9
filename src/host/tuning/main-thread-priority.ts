/**
 * Lets the main thread go before the daemon's other threads and before the programs that it starts. It answers all
 * calls, uses little, and waits behind a burst of runtimes otherwise: under the load of `npm run handover` on two
 * processors, four runs with it and two without, the longest list over an open connection took 281 to 327 ms instead
 * of 389 to 590, and nodes were frozen for 277 to 472 ms instead of 472 to 612 (p50). Lists over new connections gained
 * nothing that is clear: 375 to 817 ms, 697 and 801 without. A nice value counts only within a control group or a
 * session, so pods lose nothing where the daemon is a service of systemd.
 */
import { getPriority, setPriority } from 'node:os';
import { priorityLimits } from '../bounds.ts';
import { SCHED_NORMAL, SCHED_RESET_ON_FORK } from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';

/** sched_param: one int, which is 0 for the usual policy. */
const NO_PARAMETERS = new Uint8Array(4);

/**
 * For the calling thread, the main one: on Linux setpriority(2) is about threads, and 0 is the caller. Threads and
 * programs that it makes have 0 again (SCHED_RESET_ON_FORK, sched(7)). Does nothing where the daemon was started with
 * another nice value (`Nice=` in the unit), or may not change it: nothing depends on it.
 */
export function preferMainThread(): void {
  try {
    if (getPriority() !== 0) return;
    const { result } = callSync(libc.schedSetscheduler, 0, SCHED_NORMAL | SCHED_RESET_ON_FORK, NO_PARAMETERS);
    if (result === 0) setPriority(0, priorityLimits.mainNice);
  } catch {
    // without CAP_SYS_NICE, as in a container of the administrator's
  }
}
