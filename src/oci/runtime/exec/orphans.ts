/** Ends execs left by a killed daemon: nobody waits for their answers any more (F11). */
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseContainerId } from '../../../base/ids.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { toFault } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';
import type { Log } from '../../../base/log.ts';
import { isCgroupGone, isProcessGone } from '../../../host/ffi/errno.ts';
import { processMark, processExists } from '../../../host/process/process-identity.ts';
import type { ProcessMark } from '../../../host/process/process-identity.ts';
import { killTree } from '../../../host/process/process-kill.ts';
import { readPidFile } from '../monitor/monitor-process.ts';
import {
  dissolveExecLeaf,
  emptyCgroup,
  execLeafAt,
  ownCgroupName,
  refuseSurvivors,
} from '../container/cgroup.ts';
import type { ExecLeaf } from '../container/cgroup.ts';
import type { DriverParts } from '../container/parts.ts';
import { readNote } from '../container/record.ts';
import type { ContainerNote } from '../container/record.ts';
import { namesIn } from '../container/state.ts';
import { EXEC_PREFIX, execPidFile } from './files.ts';

export interface OrphanExec {
  readonly id: ContainerId;
  /** The exec's directory in the container's. */
  readonly directory: string;
  /** Undefined if it has exited or was never started. */
  readonly process: ProcessMark | undefined;
  readonly leaf: ExecLeaf | undefined;
}

/**
 * Finds the execs below the state directory and identifies their processes at once, since a pid on file can be reused
 * later. Only called at the daemon's start, before its first exec. No new process can appear: the `runc exec` call
 * was a helper and ended with the earlier daemon (src/host/process/helpers.ts).
 */
export async function findOrphanExecs(parts: DriverParts): Promise<OrphanExec[]> {
  const ids = (await namesIn(parts.layout.containersDir))
    .map(parseContainerId)
    .filter((id) => id !== undefined);
  const found: OrphanExec[][] = [];
  for (let at = 0; at < ids.length; at += driverLimits.observedAtOnce) {
    found.push(
      ...(await Promise.all(
        ids.slice(at, at + driverLimits.observedAtOnce).map((id) => orphansOf(parts, id)),
      )),
    );
  }
  // round-robin over containers: an exec that does not end keeps its slot, and must not hold up those of other
  // containers
  const most = found.reduce((count, some) => Math.max(count, some.length), 0);
  return Array.from({ length: most }, (_none, nth) =>
    found.flatMap((some) => some.slice(nth, nth + 1)),
  ).flat();
}

async function orphansOf(parts: DriverParts, id: ContainerId): Promise<OrphanExec[]> {
  try {
    const own = parts.layout.containerDir(id);
    const names = (await namesIn(own)).filter((name) => name.startsWith(EXEC_PREFIX));
    if (names.length === 0) return [];
    const note = await readNote(parts.layout, id);
    const orphans: OrphanExec[] = [];
    for (const name of names) {
      const directory = join(own, name);
      const process = note === undefined ? undefined : await processOf(directory, note);
      orphans.push({
        id,
        directory,
        process,
        leaf: note === undefined ? undefined : execLeafAt(parts.cgroups, note.cgroup, name),
      });
    }
    return orphans;
  } catch (error) {
    parts.log.warn({ id, fault: toFault(error) }, 'find execs of an earlier daemon failed');
    return [];
  }
}

/**
 * Kills the processes of these execs. A process may be in uninterruptible sleep (F45), so the daemon's start does not
 * wait for this; one that does not end is left for the next start. Never rejects.
 */
export function endOrphanExecs(
  parts: DriverParts,
  orphans: readonly OrphanExec[],
  closing: AbortSignal,
): Promise<void> {
  return endEach(orphans, closing, async (orphan) => {
    try {
      await endOrphan(parts, orphan);
    } catch (error) {
      logUnended(parts.log, orphan.id, error);
    }
  });
}

/**
 * Logs why an exec was not ended or cleaned up. A container that was removed meanwhile took its execs with it: debug
 * level.
 */
export function logUnended(log: Log, id: ContainerId, error: unknown): void {
  const fault = toFault(error);
  if (isCgroupGone(error))
    log.debug({ id, fault }, 'end exec of an earlier daemon: the container was removed');
  else if (fault.kind === 'timedOut') log.warn({ id, fault }, 'end exec of an earlier daemon: timed out');
  else log.warn({ id, fault }, 'end exec of an earlier daemon: cleanup failed');
}

/**
 * Calls `end` for each, a bounded number at a time; starts no further one once `closing` aborts. `end` must not
 * reject.
 */
export async function endEach<T>(
  orphans: readonly T[],
  closing: AbortSignal,
  end: (orphan: T) => Promise<void>,
): Promise<void> {
  const queue = orphans.values();
  // the workers share the iterator: each takes the next orphan when it has ended one
  const work = async (): Promise<void> => {
    for (const orphan of queue) {
      if (closing.aborted) return;
      await end(orphan);
    }
  };
  await Promise.all(Array.from({ length: driverLimits.orphanExecsAtOnce }, work));
}

async function endOrphan(parts: DriverParts, { id, directory, process, leaf }: OrphanExec): Promise<void> {
  const left = process === undefined ? [] : await killTree(process, parts.clock);
  if (leaf !== undefined) {
    await emptyCgroup(parts, id, leaf.path, driverLimits.killMs);
    await dissolveExecLeaf(parts, leaf);
  }
  refuseSurvivors(
    id,
    left.filter(processExists).map(({ pid }) => pid),
  );
  await rm(directory, { recursive: true, force: true });
}

/** The exec'd process, if the pid in its file still belongs to a process of this container (F43). */
async function processOf(directory: string, note: ContainerNote): Promise<ProcessMark | undefined> {
  const pid = await readPidFile(execPidFile(directory));
  const identity = pid === undefined ? undefined : processMark(pid);
  return identity !== undefined &&
    isInCgroup(identity.pid, ownCgroupName(note.cgroup)) &&
    processExists(identity)
    ? identity
    : undefined;
}

/** Whether the process is in a cgroup that has this directory in its path, in any hierarchy. */
export function isInCgroup(pid: number, name: string): boolean {
  try {
    // procfs answers from memory: no disk access
    const lines = readFileSync(`/proc/${pid}/cgroup`, 'latin1').split('\n');
    return lines.some((line) => line.split('/').includes(name));
  } catch (error) {
    if (isProcessGone(error)) return false;
    throw error;
  }
}
