/**
 * Lets the main thread go before the daemon's other threads and before the programs that it starts. It answers all
 * calls, uses little, and waits behind a burst of runtimes otherwise: with 30 execs a second and 20 clients on two
 * processors lists took up to 704 ms in three runs of take-overs instead of up to 801, and nodes were frozen for 277
 * to 447 ms instead of 472 to 612 (p50; `npm run handover`). A nice value counts only within a control group or a
 * session, so pods lose nothing where the daemon is a service of systemd.
 */
import { access } from 'node:fs/promises';
import { getPriority, setPriority } from 'node:os';
import { priorityLimits } from '../bounds.ts';

/**
 * On Linux setpriority(2) is about threads, and 0 is the caller. To be called when the thread for the kernel's objects
 * runs: threads and programs inherit the value from the thread that makes them, and programs are started in libuv's
 * pool. Does nothing where the daemon was started with another nice value (`Nice=` in the unit), or may not change it.
 */
export async function preferMainThread(): Promise<void> {
  if (getPriority() !== 0) return;
  // libuv makes all threads of its pool for the first work
  await access('/');
  try {
    setPriority(0, priorityLimits.mainNice);
  } catch {
    // without CAP_SYS_NICE, as in a container of the administrator's: nothing else depends on it
  }
}
