/** A process beside a container's init in its shim, for ExecSync and for clients' streams. */
import { mkdtemp, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { TerminalSize } from '../../../ports/streams.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { fail, toFault } from '../../../base/fault.ts';
import { monitorLimits, shimLimits } from '../bounds.ts';
import { Task } from '../../../gen/shim/task_pb.ts';
import { namesOf } from '../../../host/files/names-of.ts';
import { processMark } from '../../../host/process/process-identity.ts';
import { killTree } from '../../../host/process/process-kill.ts';
import { ownCgroupName } from '../container/cgroup.ts';
import { isProcessAlive } from '../container/parts.ts';
import type { DriverParts } from '../container/parts.ts';
import { readNote } from '../container/record.ts';
import type { ContainerNote } from '../container/record.ts';
import type { ExecDeadline } from '../exec/deadline.ts';
import type { ExecParameters } from '../exec/files.ts';
import { isInCgroup } from '../exec/orphans.ts';
import { checkArgv, execProcess, readBundleConfig } from '../container/exec-process.ts';
import type { ExecTerminal } from '../container/exec-process.ts';
import type { ShimParts } from './containers.ts';
import type { Shim } from './shim.ts';
import { makeStdio } from './stdio.ts';
import type { StdioPaths, StdioOptions } from './stdio.ts';

const SIGKILL = 9;
/** Prefix of an exec's directory in its container's directory; the name is the exec's id in the shim, too. */
const PREFIX = 'shim-exec-';
const PROCESS_TYPE = 'types.containerd.io/opencontainers/runtime-spec/1/Process';

export interface ExecRequest {
  readonly input: ExecParameters;
  readonly terminal: ExecTerminal;
  readonly stdio: StdioOptions;
  readonly deadline: ExecDeadline;
  /** Opens the daemon's ends of the FIFOs; the process is started after that. */
  open(stdio: StdioPaths, exec: RunningExec): void;
  /** Called after the process has exited: waits for the rest of its output. */
  drained(): Promise<unknown>;
  /** Closes the daemon's ends. */
  close(): void;
}

/** What a client may request while the exec runs. Failures are only logged, since nobody waits for them. */
export interface RunningExec {
  /** Never rejects. */
  resize(size: TerminalSize): Promise<void>;
  closeStdin(): void;
}

/**
 * Runs the exec and returns its exit code. On failure, timeout or abort the process is killed before this rejects.
 */
export async function runExec(
  { parts, shims }: ShimParts,
  request: ExecRequest,
  fx: EffectContext,
): Promise<number> {
  const { layout } = parts;
  const { id, argv, init } = request.input;
  const attempted = `exec in container ${id}`;
  checkArgv(argv, id);
  const note = await readNote(layout, id);
  if (note === undefined || !isProcessAlive(init))
    return fail('wrongState', `${attempted}: the container is not running`, { subject: id });
  const shim = await shims.need(note.sandboxId, attempted);
  const process = {
    text: execProcess(await readBundleConfig(layout.configJson(id), id), argv, id, request.terminal),
  };
  const directory = await mkdtemp(join(layout.containerDir(id), PREFIX));
  try {
    return await new TaskExec({ parts, shim, note, request, process, directory, fx }).toEnd();
  } finally {
    request.close();
    await rm(directory, { recursive: true, force: true });
  }
}

interface Run {
  readonly parts: DriverParts;
  readonly shim: Shim;
  readonly note: ContainerNote;
  readonly request: ExecRequest;
  /** The text of the process object with the command line; emptied once the shim has it. */
  readonly process: { text: string };
  readonly directory: string;
  readonly fx: EffectContext;
}

class TaskExec implements RunningExec {
  readonly #run: Run;
  readonly #target: { readonly id: ContainerId; readonly execId: string };
  #pid: number | undefined;

  constructor(run: Run) {
    this.#run = run;
    this.#target = { id: run.request.input.id, execId: basename(run.directory) };
  }

  /** Sends the process object to the shim. Afterwards the daemon keeps no copy of the command line. */
  async #describe(stdio: StdioPaths): Promise<void> {
    const { shim, request, process } = this.#run;
    const spec = { typeUrl: PROCESS_TYPE, value: Buffer.from(process.text, 'utf8') };
    process.text = '';
    request.input.onArgvRead?.();
    await request.deadline.bounded(
      shim.call(
        Task.method.exec,
        { ...this.#target, ...stdio, terminal: request.terminal.wanted === true, spec },
        {},
      ),
    );
  }

  async toEnd(): Promise<number> {
    const { shim, request, directory, fx } = this.#run;
    const stdio = await makeStdio(directory, request.stdio);
    request.open(stdio, this);
    let hasEnded = false;
    try {
      fx.note({ on: 'exec in the shim' });
      await this.#describe(stdio);
      const { pid } = await request.deadline.bounded(shim.call(Task.method.start, this.#target, {}));
      this.#pid = pid;
      fx.note({ on: 'the exec process', pid });
      const { exitStatus } = await request.deadline.bounded(
        shim.call(Task.method.wait, this.#target, { signal: fx.signal }),
      );
      hasEnded = true;
      await request.drained();
      return exitStatus;
    } finally {
      await this.#remove(hasEnded);
    }
  }

  resize({ columns, rows }: TerminalSize): Promise<void> {
    return this.#aside(
      this.#run.shim.callUnlessGone(
        Task.method.resizePty,
        { ...this.#target, width: columns, height: rows },
        { timeoutMs: shimLimits.callMs },
      ),
    );
  }

  closeStdin(): void {
    void this.#aside(
      this.#run.shim.callUnlessGone(
        Task.method.closeIO,
        { ...this.#target, stdin: true },
        { timeoutMs: shimLimits.callMs },
      ),
    );
  }

  async #aside(call: Promise<unknown>): Promise<void> {
    try {
      await call;
    } catch (thrown) {
      this.#run.parts.log.debug(
        { id: this.#target.id, fault: toFault(thrown) },
        'resize or close stdin of exec in its shim failed',
      );
    }
  }

  async #remove(hasEnded: boolean): Promise<void> {
    const { parts, shim, note } = this.#run;
    try {
      if (!hasEnded) {
        // a shim kills only the process itself; its descendants are killed here if they run on this machine
        const tree =
          this.#pid !== undefined && isInCgroup(this.#pid, ownCgroupName(note.cgroup))
            ? processMark(this.#pid)
            : undefined;
        if (tree !== undefined) await killTree(tree, parts.clock);
      }
      await endExec(shim, this.#target, hasEnded);
    } catch (thrown) {
      parts.log.warn({ id: this.#target.id, fault: toFault(thrown) }, 'remove exec from its shim failed');
    }
  }
}

/** Deletes an exec from the shim; one that has not exited is killed first. */
async function endExec(
  shim: Shim,
  target: { readonly id: ContainerId; readonly execId: string },
  hasEnded: boolean,
): Promise<void> {
  const call = { timeoutMs: shimLimits.callMs };
  if (!hasEnded) {
    await shim.callUnlessGone(Task.method.kill, { ...target, signal: SIGKILL, all: false }, call);
    await shim.callUnlessGone(Task.method.wait, target, call);
  }
  await shim.callUnlessGone(Task.method.delete, target, call);
}

/** Execs of one container left by an earlier daemon: nobody waits for their answers any more. */
export interface OrphanTaskExecs {
  readonly id: ContainerId;
  readonly execIds: readonly string[];
}

/** Finds them by their directories. Only called before the daemon's first exec. */
export async function findOrphanTaskExecs({ parts }: ShimParts, id: ContainerId): Promise<OrphanTaskExecs> {
  const names = await namesOf(parts.layout.containerDir(id));
  return { id, execIds: names.filter((name) => name.startsWith(PREFIX)).slice(0, monitorLimits.dirEntries) };
}

export async function endOrphanTaskExecs(
  { parts, shims }: ShimParts,
  { id, execIds }: OrphanTaskExecs,
): Promise<void> {
  const note = await readNote(parts.layout, id);
  const shim = note === undefined ? undefined : await shims.find(note.sandboxId);
  for (const execId of execIds) {
    if (shim !== undefined) await endExec(shim, { id, execId }, false);
    await rm(join(parts.layout.containerDir(id), execId), { recursive: true, force: true });
  }
}
