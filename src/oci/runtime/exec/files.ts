/**
 * What belongs to one exec: a cgroup, and a directory in that of the container, by which a restarted daemon finds the
 * exec.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessIdentity } from '../../../ports/journal.ts';
import type { ContainerInput } from '../../../ports/runtime.ts';
import { fail } from '../../../base/fault.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { makeOwnUnique } from '../../../host/files/state-files.ts';
import { parsePid } from '../monitor/monitor-process.ts';
import { makeExecLeaf } from '../container/cgroup.ts';
import type { ExecLeaf } from '../container/cgroup.ts';
import { isProcessAlive } from '../container/parts.ts';
import type { DriverParts } from '../container/parts.ts';
import { readNote } from '../container/record.ts';
import { checkArgv, readBundleConfig } from '../container/exec-process.ts';
import { runtimeProgram } from '../container/runtime-program.ts';
import type { RuntimeProgram } from '../container/runtime-program.ts';
import type { Handler } from '../handlers/handlers.ts';
import type { ExecDeadline } from './deadline.ts';

/** Prefix of the directory's name; mkdtemp appends six characters. The exec's cgroup has the same name. */
export const EXEC_PREFIX = 'exec-';

/** What the execs of a container have in common, with streams or without. */
export type ExecParameters = ContainerInput & {
  readonly argv: readonly string[];
  readonly init: ProcessIdentity;
  /** See `StreamExecInput`. */
  readonly onArgvRead?: () => void;
};

export interface PreparedExec {
  readonly handler: Handler;
  /** To be called for the exec: the runtime, or the launcher that gives it the outer seccomp filter. */
  readonly program: RuntimeProgram;
  /** Text of the bundle's config.json. */
  readonly config: string;
  readonly directory: string;
}

/**
 * Checks that the exec is possible and makes its directory. Throws `invalidRequest` for an invalid argv, `wrongState`
 * when the container is not running, `notFound` when it has no bundle; by the deadline, since a runtime that was
 * replaced is probed before and may hang.
 */
export async function prepareExec(
  parts: DriverParts,
  { id, handler: name, argv, init }: ExecParameters,
  deadline: ExecDeadline,
): Promise<PreparedExec> {
  const handler = parts.table.resolve(name);
  checkArgv(argv, id);
  if (!isProcessAlive(init))
    fail('wrongState', `exec in container ${id}: the container is not running`, { subject: id });
  const config = await readBundleConfig(parts.layout.configJson(id), id);
  const program = await deadline.bounded(runtimeProgram(parts, handler, config, id), 'the runtime');
  return {
    handler,
    program,
    config,
    directory: await makeOwnUnique(join(parts.layout.containerDir(id), EXEC_PREFIX)),
  };
}

/** The OCI process object. */
export function execProcessFile(directory: string): string {
  return join(directory, 'process.json');
}

/** Written by the runtime once the process runs. */
export function execPidFile(directory: string): string {
  return join(directory, 'pid');
}

/**
 * Reads the pid from the file that the runtime renames into place before it exits. Synchronous: the file is on tmpfs.
 */
export function pidIn(path: string): number | undefined {
  try {
    return parsePid(readFileSync(path, 'latin1'));
  } catch {
    // not written yet, or the runtime failed
    return undefined;
  }
}

/**
 * Makes the exec's own cgroup below the container's. Undefined where the runtime has no option for it, and for a
 * session of a client with cgroup v2: the programs that it starts must find the container's limits. Java before 24 and
 * Go's runtime read those of their own cgroup only, and take the machine's memory and processors for theirs.
 */
export async function execLeafOf(
  parts: DriverParts,
  handler: Handler,
  id: ContainerId,
  name: string,
  isSession = false,
): Promise<ExecLeaf | undefined> {
  if (!parts.table.canExecInCgroup(handler.name) || (isSession && parts.cgroups.version === 2))
    return undefined;
  const note = await readNote(parts.layout, id);
  return note === undefined ? undefined : makeExecLeaf(parts, note.cgroup, name);
}
