/** What belongs to one exec: a directory of its own in the container's, which a later daemon finds it by, and a cgroup. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ContainerId } from '../../base/ids.ts';
import { parsePid } from '../monitor/monitor-process.ts';
import { makeExecLeaf } from './driver-cgroup.ts';
import type { ExecLeaf } from './driver-cgroup.ts';
import type { DriverParts } from './driver-parts.ts';
import { readNote } from './driver-record.ts';
import type { Handler } from './handlers.ts';

/** Begins the name of the directory; mkdtemp adds six characters. The exec's cgroup has the same name. */
export const EXEC_PREFIX = 'exec-';

/** The OCI process object. */
export function execProcessFile(directory: string): string {
  return join(directory, 'process.json');
}

/** Written by the runtime once the process runs. */
export function execPidFile(directory: string): string {
  return join(directory, 'pid');
}

/** The pid in the file that the runtime renames into place before it ends. Its directory is ours and in memory. */
export function pidIn(path: string): number | undefined {
  try {
    return parsePid(readFileSync(path, 'latin1'));
  } catch {
    // not there yet, or the runtime failed
    return undefined;
  }
}

/** The exec's own cgroup below its container's; undefined where the runtime can't be told one. */
export async function execLeafOf(parts: DriverParts, handler: Handler, id: ContainerId, name: string): Promise<ExecLeaf | undefined> {
  if (!parts.table.canExecInCgroup(handler.name)) return undefined;
  const note = await readNote(parts.layout, id);
  return note === undefined ? undefined : makeExecLeaf(parts, note.cgroup, name);
}
