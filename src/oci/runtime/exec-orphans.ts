/** Execs that a daemon was waiting for when it was killed: nobody hears their answer any more (F11). */
import { rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { ContainerId } from '../../base/ids.ts';
import { parseContainerId } from '../../base/ids.ts';
import { toFault } from '../../base/fault.ts';
import { driverLimits } from '../../base/limits.ts';
import { listProcessStats, processExists } from '../../host/process-identity.ts';
import type { ProcessIdentity } from '../../host/process-identity.ts';
import { killTree } from '../../host/process-kill.ts';
import { processFileOf } from '../monitor/conmon.ts';
import { commandLine } from '../monitor/monitor-process.ts';
import { dissolveExecLeaf, emptyCgroup, execLeafAt } from './driver-cgroup.ts';
import type { DriverParts } from './driver-parts.ts';
import { readNote } from './driver-record.ts';

interface OrphanExec {
  readonly monitor: ProcessIdentity;
  readonly id: ContainerId;
  /** The exec's directory in the container's. */
  readonly directory: string;
}

/** Kills the monitors of execs below our state directory with all that they started. Only at the start, before the first exec of our own. */
export async function endOrphanExecs(parts: DriverParts): Promise<void> {
  for (const stat of await listProcessStats()) {
    const orphan = orphanOf(parts, { pid: stat.pid, startTicks: stat.startTicks });
    if (orphan === undefined) continue;
    try {
      await end(parts, orphan);
    } catch (error) {
      parts.log.warn({ id: orphan.id, fault: toFault(error) }, 'an exec of an earlier daemon does not end');
    }
  }
}

function orphanOf(parts: DriverParts, monitor: ProcessIdentity): OrphanExec | undefined {
  const file = processFileOf(commandLine(monitor.pid));
  const directory = dirname(file);
  const id = parseContainerId(basename(dirname(directory)));
  if (id === undefined || dirname(directory) !== parts.layout.containerDir(id)) return undefined;
  // the command line was read between two looks at the start time: it is this process's
  return processExists(monitor) ? { monitor, id, directory } : undefined;
}

async function end(parts: DriverParts, orphan: OrphanExec): Promise<void> {
  await killTree(orphan.monitor, parts.clock);
  const note = await readNote(parts.layout, orphan.id);
  if (note !== undefined) {
    const leaf = execLeafAt(parts.cgroups, note.cgroup, basename(orphan.directory));
    if (leaf !== undefined) {
      await emptyCgroup(parts, orphan.id, leaf.path, driverLimits.killMs);
      await dissolveExecLeaf(parts, leaf);
    }
  }
  await rm(orphan.directory, { recursive: true, force: true });
}
