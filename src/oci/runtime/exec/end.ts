/** How the process of an exec ends: by itself, or killed with all that it started. */
import type { ContainerId } from '../../../base/ids.ts';
import { processIdentity } from '../../../host/process/process-identity.ts';
import { killTree } from '../../../host/process/process-kill.ts';
import { holdZombie } from '../../../host/process/process-reaper.ts';
import type { ExitStatus, ExpectedOrphan } from '../../../host/process/process-reaper.ts';
import type { Child } from '../../../host/process/process.ts';
import { emptyCgroup } from '../container/cgroup.ts';
import type { ExecLeaf } from '../container/cgroup.ts';
import type { DriverParts } from '../container/parts.ts';

/** An exec that was begun. */
export interface BegunExec {
  /** The runtime's exec. */
  readonly child: Child;
  readonly orphan: ExpectedOrphan;
}

export interface ExecKill {
  readonly id: ContainerId;
  readonly leaf: ExecLeaf | undefined;
  /** The process, where it was taken from the orphans already. */
  readonly pid: number | undefined;
  /** For its cgroup to be empty, in milliseconds. */
  readonly emptyMs: number;
}

/** Kills the runtime's exec, the process with its tree and session, and its cgroup; returns when they are gone. */
export async function killExec(
  parts: DriverParts,
  { child, orphan }: BegunExec,
  { id, leaf, pid: known, emptyMs }: ExecKill,
): Promise<void> {
  const releases = [holdZombie(child.pid)];
  try {
    const left = await killTree(child.identity, parts.clock);
    // killed between the start of the process and its own end, the runtime leaves it to us all the same
    const pid = known ?? orphan.take(child.identity)?.pid;
    if (pid !== undefined) releases.push(holdZombie(pid));
    const process = pid === undefined ? undefined : processIdentity(pid);
    if (process !== undefined) left.push(...(await killTree(process, parts.clock)));
    if (leaf !== undefined) await emptyCgroup(parts, id, leaf.path, emptyMs);
    if (left.length > 0)
      parts.log.warn({ id, pids: left.map((one) => one.pid) }, 'processes of an exec do not end');
  } finally {
    for (const release of releases) release();
  }
}

/** As shells and both peers tell a signal; `refuse` throws where the process was reaped by somebody else. */
export function exitCodeOf({ exitCode, signal }: ExitStatus, refuse: (reason: string) => never): number {
  if (exitCode !== null) return exitCode;
  return signal === null ? refuse('the exit code of the process was taken by another') : 128 + signal;
}
