/** A container's cgroup, its sandbox's monitors' cgroup: what the driver does to them, each bounded. */
import { dirname } from 'node:path';
import type { EffectContext } from '../../actors/ports/effect.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import { fail } from '../../base/fault.ts';
import { driverLimits } from '../../base/limits.ts';
import { killCgroup } from '../../host/cgroup-kill.ts';
import { cgroupExists, createCgroup, moveProcess, oomKills, removeCgroup } from '../../host/cgroups.ts';
import { codeOf } from '../../host/errno.ts';
import { poll } from '../monitor/wait.ts';
import { liveIdentity } from './driver-parts.ts';
import type { DriverParts } from './driver-parts.ts';

type Id = ContainerId | SandboxId;

/** Moves a monitor into its leaf, which is made with the first one; does nothing where the sandbox has no cgroup. */
export async function admitMonitor(parts: DriverParts, leaf: string, pid: number): Promise<void> {
  const { cgroups } = parts;
  if (!(await cgroupExists(cgroups, dirname(leaf)))) return;
  if (!(await cgroupExists(cgroups, leaf))) await createCgroup(cgroups, leaf);
  await moveProcess(cgroups, leaf, pid);
}

/** SIGKILL to all members now; those that need longer than a moment are not waited for. */
export async function signalCgroup(parts: DriverParts, path: string): Promise<void> {
  await killCgroup(parts.cgroups, path, { clock: parts.clock, timeoutMs: driverLimits.killRoundMs });
}

/** Kills until the cgroup has no live member (F46). Throws `timedOut` with the pids that don't end (F45). */
export async function emptyCgroup(parts: DriverParts, id: Id, path: string, timeoutMs: number): Promise<void> {
  const bound = { clock: parts.clock, timeoutMs: Math.min(timeoutMs, driverLimits.killMs) };
  const left = await killCgroup(parts.cgroups, path, bound);
  refuseSurvivors(id, left.filter((pid) => liveIdentity(pid) !== undefined));
}

/** Throws `timedOut` when there are any. */
export function refuseSurvivors(id: Id, pids: readonly number[]): void {
  if (pids.length === 0) return;
  fail('timedOut', `end the processes of container ${id}: killed, but these do not end: ${pids.slice(0, 10).join(', ')}`, {
    subject: id,
  });
}

/** How often the OOM killer struck in it; 0 where that is not counted or the cgroup is gone. */
export async function oomKillsIn(parts: DriverParts, path: string): Promise<number> {
  return (await oomKills(parts.cgroups, path)) ?? 0;
}

/** Removes a cgroup without processes; the kernel calls it busy for a moment after the last one ended (F48). */
export async function dropCgroup(parts: DriverParts, id: Id, path: string, fx: EffectContext): Promise<void> {
  const attempted = `remove cgroup ${path}`;
  const removed = await poll(
    {
      clock: parts.clock,
      timeoutMs: Math.min(fx.timeoutMs, driverLimits.cgroupRemoveMs),
      signal: fx.signal,
      firstMs: driverLimits.killLookFirstMs,
      lastMs: driverLimits.killLookLastMs,
      attempted,
    },
    async () => {
      try {
        await removeCgroup(parts.cgroups, path);
        return true;
      } catch (error) {
        if (codeOf(error) === 'EBUSY' || codeOf(error) === 'ENOTEMPTY') return undefined;
        throw error;
      }
    },
  );
  if (removed === undefined) fail('outside', `${attempted}: it stays busy`, { subject: id, retryable: true });
}
