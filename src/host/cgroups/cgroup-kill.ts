/** Kills everything in a cgroup, including processes that are forked meanwhile (F46). */
import type { ClockPort } from '../../ports/clock.ts';
import { hostLimits } from '../bounds.ts';
import type { CgroupLayout } from '../kernel-thread/thread-protocol.ts';
import { listProcesses, withCgroup } from './cgroups.ts';
import { pause } from '../clock/wait.ts';

export interface KillOptions {
  readonly clock: ClockPort;
  /** Milliseconds until the cgroup must be empty. */
  readonly timeoutMs: number;
}

/**
 * Kills all processes of the cgroup and of those below it, and waits until they are gone. Returns the pids
 * that are left at the timeout (uninterruptible sleep, F45); empty is success, also for a cgroup that does
 * not exist.
 */
export async function killCgroup(
  layout: CgroupLayout,
  path: string,
  options: KillOptions,
): Promise<number[]> {
  const { clock, timeoutMs } = options;
  const deadline = clock.monoMs() + timeoutMs;
  let waitMs: number = hostLimits.killPollFirstMs;
  for (;;) {
    const pids = await listProcesses(layout, path);
    if (pids.length === 0 || clock.monoMs() >= deadline) return pids;
    // cgroup.kill (Linux 5.14, v2 only)
    if ((await withCgroup('killAtOnce', layout, path)) !== true) await killFrozen(layout, path, clock);
    await pause(clock, waitMs);
    waitMs = Math.min(waitMs * 2, hostLimits.killPollLastMs);
  }
}

/**
 * Freezes the cgroup, kills its processes and thaws it with all below it: a frozen process can't fork, and
 * dies when it is thawed.
 */
async function killFrozen(layout: CgroupLayout, path: string, clock: ClockPort): Promise<void> {
  try {
    for (let poll = 0; poll < hostLimits.freezePolls; poll += 1) {
      if ((await withCgroup('freeze', layout, path)) === true) break;
      await pause(clock, hostLimits.killPollFirstMs);
    }
    await withCgroup('killMembers', layout, path);
  } finally {
    await withCgroup('thawAll', layout, path);
  }
}
