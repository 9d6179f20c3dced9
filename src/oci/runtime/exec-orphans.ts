/** Execs that a daemon was waiting for when it was killed: nobody hears their answer any more (F11). */
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseContainerId } from '../../base/ids.ts';
import type { ContainerId } from '../../base/ids.ts';
import { toFault } from '../../base/fault.ts';
import { driverLimits } from '../../base/limits.ts';
import { isProcessGone } from '../../host/errno.ts';
import { processExists, processIdentity } from '../../host/process-identity.ts';
import type { ProcessIdentity } from '../../host/process-identity.ts';
import { killTree } from '../../host/process-kill.ts';
import { readPidFile } from '../monitor/monitor-process.ts';
import { dissolveExecLeaf, emptyCgroup, execLeafAt, ownCgroupName } from './driver-cgroup.ts';
import type { DriverParts } from './driver-parts.ts';
import { readNote } from './driver-record.ts';
import type { ContainerNote } from './driver-record.ts';
import { namesIn } from './driver-state.ts';
import { EXEC_PREFIX, execPidFile } from './exec-files.ts';

interface OrphanExec {
  readonly id: ContainerId;
  /** The exec's directory in the container's. */
  readonly directory: string;
}

/** Kills what execs below our state directory have left running. Only at the start, before the first exec of our own. */
export async function endOrphanExecs(parts: DriverParts): Promise<void> {
  for (const orphan of await orphanExecs(parts)) {
    try {
      await end(parts, orphan);
    } catch (error) {
      parts.log.warn({ id: orphan.id, fault: toFault(error) }, 'an exec of an earlier daemon does not end');
    }
  }
}

async function orphanExecs(parts: DriverParts): Promise<OrphanExec[]> {
  const ids = (await namesIn(parts.layout.containersDir)).map(parseContainerId).filter((id) => id !== undefined);
  const found: OrphanExec[] = [];
  for (let at = 0; at < ids.length; at += driverLimits.observedAtOnce) {
    const some = ids.slice(at, at + driverLimits.observedAtOnce).map(async (id) => {
      const own = parts.layout.containerDir(id);
      return (await namesIn(own)).filter((name) => name.startsWith(EXEC_PREFIX)).map((name) => ({ id, directory: join(own, name) }));
    });
    found.push(...(await Promise.all(some)).flat());
  }
  return found;
}

async function end(parts: DriverParts, { id, directory }: OrphanExec): Promise<void> {
  // nothing starts it any more: the runtime's call was a helper and has ended (src/host/helpers.ts)
  const note = await readNote(parts.layout, id);
  const process = note === undefined ? undefined : await processOf(directory, note);
  if (process !== undefined) await killTree(process, parts.clock);
  const leaf = note === undefined ? undefined : execLeafAt(parts.cgroups, note.cgroup, basename(directory));
  if (leaf !== undefined) {
    await emptyCgroup(parts, id, leaf.path, driverLimits.killMs);
    await dissolveExecLeaf(parts, leaf);
  }
  await rm(directory, { recursive: true, force: true });
}

/** The exec'd process, if the pid in its file is still that of a process of this container (F43). */
async function processOf(directory: string, note: ContainerNote): Promise<ProcessIdentity | undefined> {
  const pid = await readPidFile(execPidFile(directory));
  const identity = pid === undefined ? undefined : processIdentity(pid);
  return identity !== undefined && isInCgroup(identity.pid, ownCgroupName(note.cgroup)) && processExists(identity) ? identity : undefined;
}

/** Whether the process is in a cgroup with this directory in its path, in any hierarchy. */
export function isInCgroup(pid: number, name: string): boolean {
  try {
    // procfs: answers from memory
    const lines = readFileSync(`/proc/${pid}/cgroup`, 'latin1').split('\n');
    return lines.some((line) => line.split('/').includes(name));
  } catch (error) {
    if (isProcessGone(error)) return false;
    throw error;
  }
}
