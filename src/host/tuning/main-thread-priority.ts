/**
 * Lets the main thread, and those it waits for, go before the daemon's other threads and the programs that it
 * starts. It answers all calls, uses little, and waits behind a burst of runtimes otherwise: under the load of `npm
 * run handover` on two processors, four runs with a nice value of -10 and two without, the longest list over an open
 * connection took 281 to 327 ms instead of 389 to 590, and nodes were frozen for 277 to 472 ms instead of 472 to 612
 * (p50). With the threads that it waits for the longest list in a take-over took 226 to 306 ms, and 345 to 414 without
 * them. Beside fifty runtimes -10 is a third of a processor. With -20, and -13 for V8's, lists above 150 ms were 0.2 to
 * 0.3 % of all over an open connection, 0.4 % with -20 for both. A nice value counts only within a control group or a
 * session, so pods lose nothing where the daemon is a service of systemd.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { priorityLimits } from '../bounds.ts';
import { SCHED_NORMAL, SCHED_RESET_ON_FORK } from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';

/** sched_param: one int, which is 0 for the usual policy. */
const NO_PARAMETERS = new Uint8Array(4);

/**
 * Name of the threads for which the main thread waits (proc(5), comm): V8's, in collections, and whenever they are
 * given work, since pthread_cond_signal of glibc before 2.41 waits until threads that were signalled before have run
 * (`__condvar_quiesce_and_switch_g1`). Behind a burst of runtimes that took up to 250 ms. The same holds for libuv's
 * pool, but pulls are decompressed there: with it a pod that starts beside ten pulls took 1.88 times as long as
 * alone, and 1.57 without (`npm run bench -- images --only beside`).
 */
const AWAITED = 'V8Worker';

/** The threads that were preferred. */
const preferred: number[] = [];

/**
 * For the calling thread, the main one: on Linux setpriority(2) is about threads, and 0 is the caller. Threads and
 * programs that it makes have 0 again (SCHED_RESET_ON_FORK, sched(7)). Does nothing where the daemon was started with
 * another nice value (`Nice=` in the unit), or may not change it: nothing depends on it.
 */
export function preferMainThread(): void {
  try {
    if (getPriority() !== 0) return;
    if (prefer(0, priorityLimits.mainNice)) preferAwaitedThreads();
  } catch {
    // without CAP_SYS_NICE, as in a container of the administrator's
  }
}

/** Takes it back, for a daemon that answers no calls any more: it would hold up the one that does. Repeatable. */
export function endPreference(): void {
  for (const tid of preferred.splice(0)) ignoring(() => setPriority(tid, 0));
}

/** All of them are there from Node's start on. */
function preferAwaitedThreads(): void {
  for (const tid of readdirSync('/proc/self/task'))
    ignoring(() => {
      if (readFileSync(`/proc/self/task/${tid}/comm`, 'latin1').trimEnd() === AWAITED)
        prefer(Number(tid), priorityLimits.awaitedNice);
    });
}

/** For a thread that may have ended. */
function ignoring(work: () => void): void {
  try {
    work();
  } catch {
    // it has
  }
}

/** @param tid 0 for the calling thread */
function prefer(tid: number, nice: number): boolean {
  const policy = SCHED_NORMAL | SCHED_RESET_ON_FORK;
  const { result } = callSync(libc.schedSetscheduler, tid, policy, NO_PARAMETERS);
  if (result !== 0) return false;
  setPriority(tid, nice);
  preferred.push(tid);
  return true;
}
