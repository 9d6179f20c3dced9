/** What belongs to one exec: a directory of its own in the container's, which a later daemon finds it by, and a cgroup. */
import { readFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProcessIdentity } from '../../../ports/journal.ts';
import type { ContainerInput } from '../../../ports/runtime.ts';
import { fail } from '../../../base/fault.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { parsePid } from '../monitor/monitor-process.ts';
import { makeExecLeaf } from '../container/cgroup.ts';
import type { ExecLeaf } from '../container/cgroup.ts';
import { isAlive } from '../container/parts.ts';
import type { DriverParts } from '../container/parts.ts';
import { readNote } from '../container/record.ts';
import { checkArgv, readConfig } from '../container/exec-process.ts';
import type { Handler } from '../handlers/handlers.ts';

/** Begins the name of the directory; mkdtemp adds six characters. The exec's cgroup has the same name. */
export const EXEC_PREFIX = 'exec-';

/** What an exec in a container is told. */
export type ExecWish = ContainerInput & {
  readonly argv: readonly string[];
  readonly init: ProcessIdentity;
  /** As that of `StreamExecInput`. */
  readonly onArgvRead?: () => void;
};

/**
 * Looks whether it can be done, and makes its directory; the text is that of the bundle's config.json. Throws `invalidRequest`
 * for an argv that is none, `wrongState` when the container does not run, `notFound` when it has no bundle.
 */
export async function beginExec(
  parts: DriverParts,
  { id, handler: name, argv, init }: ExecWish,
): Promise<{ readonly handler: Handler; readonly config: string; readonly directory: string }> {
  const handler = parts.table.resolve(name);
  checkArgv(argv, id);
  if (!isAlive(init)) fail('wrongState', `exec in container ${id}: it does not run`, { subject: id });
  const config = await readConfig(parts.layout.configJson(id), id);
  return { handler, config, directory: await mkdtemp(join(parts.layout.containerDir(id), EXEC_PREFIX)) };
}

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
export async function execLeafOf(
  parts: DriverParts,
  handler: Handler,
  id: ContainerId,
  name: string,
): Promise<ExecLeaf | undefined> {
  if (!parts.table.canExecInCgroup(handler.name)) return undefined;
  const note = await readNote(parts.layout, id);
  return note === undefined ? undefined : makeExecLeaf(parts, note.cgroup, name);
}
