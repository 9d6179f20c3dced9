/** How the process of an exec ends: by itself, or killed with all that it started. */
import type { ContainerId } from '../../../base/ids.ts';
import { processMark } from '../../../host/process/process-identity.ts';
import { killTree } from '../../../host/process/process-kill.ts';
import { holdZombie } from '../../../host/process/process-reaper.ts';
import type { ExitStatus, ExpectedOrphan } from '../../../host/process/process-reaper.ts';
import type { Child } from '../../../host/process/process.ts';
import { emptyCgroup } from '../container/cgroup.ts';
import type { ExecLeaf } from '../container/cgroup.ts';
import type { DriverParts } from '../container/parts.ts';

/** An exec whose runtime process was started. */
export interface BegunExec {
  /** The process of `runc exec`. */
  /** The exec'd process, which this daemon reaps. */
  readonly child: Child;
  readonly orphan: ExpectedOrphan;
}

export interface ExecKill {
  readonly id: ContainerId;
  readonly leaf: ExecLeaf | undefined;
  /** Pid of the exec'd process, if it was already claimed from the reaper. */
  readonly pid: number | undefined;
  /** Longest wait in ms until its cgroup is empty. */
  readonly emptyMs: number;
}

/**
 * Kills the `runc exec` process, the exec'd process with its process tree and session, and its cgroup. Returns when
 * all have ended.
 */
export async function killExec(
  parts: DriverParts,
  { child, orphan }: BegunExec,
  { id, leaf, pid: known, emptyMs }: ExecKill,
): Promise<void> {
  const releases = [holdZombie(child.pid)];
  try {
    const left = await killTree(child.identity, parts.clock);
    // a runtime killed between starting the process and its own exit still leaves the process to this daemon
    const pid = known ?? orphan.take(child.identity)?.pid;
    if (pid !== undefined) releases.push(holdZombie(pid));
    const process = pid === undefined ? undefined : processMark(pid);
    if (process !== undefined) left.push(...(await killTree(process, parts.clock)));
    if (leaf !== undefined) await emptyCgroup(parts, id, leaf.path, emptyMs);
    if (left.length > 0)
      parts.log.warn({ id, pids: left.map((one) => one.pid) }, 'kill exec: processes have not ended');
  } finally {
    for (const release of releases) release();
  }
}

/**
 * A signal is reported as 128 + its number, as shells, containerd and CRI-O do. `refuse` throws: another reaper took
 * the exit status.
 */
export function exitCodeOf({ exitCode, signal }: ExitStatus, refuse: (reason: string) => never): number {
  if (exitCode !== null) return exitCode;
  return signal === null ? refuse('the exit code was reaped by another process') : 128 + signal;
}
