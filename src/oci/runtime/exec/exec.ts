/**
 * ExecSync: runs a process beside the container's init until it exits. The runtime starts it detached and exits, and
 * the daemon, as child subreaper, becomes its parent and receives the exit code. The process writes straight into the
 * daemon's pipes: no file grows and no other process copies the output (S03).
 */
import { basename, join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ExecResult } from '../../../ports/runtime.ts';
import { fail, printable } from '../../../base/fault.ts';
import { allSettled } from '../../../base/settled.ts';
import { driverLimits, monitorLimits } from '../bounds.ts';
import { expectOrphan } from '../../../host/process/process-reaper.ts';
import type { ExpectedOrphan } from '../../../host/process/process-reaper.ts';
import { spawnProcess } from '../../../host/process/process.ts';
import type { PipeOwner } from '../../../host/process/process.ts';
import { writeOwnFile } from '../../../host/files/state-files.ts';
import { removeDirectory } from '../../../host/files/remove-tree.ts';
import { within } from '../../../host/clock/wait.ts';
import { dissolveExecLeaf } from '../container/cgroup.ts';
import type { ExecLeaf } from '../container/cgroup.ts';
import type { DriverParts } from '../container/parts.ts';
import { readTail } from '../container/state.ts';
import { ExecDeadline } from './deadline.ts';
import { exitCodeOf, killExec } from './end.ts';
import type { BegunExec } from './end.ts';
import { prepareExec, execLeafOf, execPidFile, execProcessFile, pidIn } from './files.ts';
import type { ExecParameters } from './files.ts';
import { CappedOutput, drained, takeBoth } from './output.ts';
import { withOutputSlot } from './output-budget.ts';
import type { OutputSlot } from './output-budget.ts';
import { execProcess } from '../container/exec-process.ts';
import type { Handler } from '../handlers/handlers.ts';
import { execArgv, globalArgs, lastError } from '../container/runc.ts';
import { stdioOwner } from '../container/stdio-owner.ts';
import type { RuntimeProgram } from '../container/runtime-program.ts';

export type ExecInput = ExecParameters & {
  /** The pod's namespace. */
  readonly namespace: string;
  /** 0: no timeout. */
  readonly execTimeoutMs: number;
  /** Aborts once the answer has been sent or nobody waits for it. The memory kept for the answer is then released. */
  readonly over?: AbortSignal | undefined;
};

/**
 * Resolves with the exit code, whatever it is, and the output. Rejects with `wrongState` when the container is not
 * running; with `timedOut` or `cancelled` after the process and all its descendants were killed.
 */
export function execSync(parts: DriverParts, input: ExecInput, fx: EffectContext): Promise<ExecResult> {
  return withOutputSlot(input, parts.log, (slot) => execInSlot(parts, input, slot, fx));
}

async function execInSlot(
  parts: DriverParts,
  input: ExecInput,
  slot: OutputSlot,
  fx: EffectContext,
): Promise<ExecResult> {
  const deadline = new ExecDeadline({ clock: parts.clock, id: input.id, fx, limitMs: input.execTimeoutMs });
  const { handler, config, directory, program } = await prepareExec(parts, input, deadline);
  let leaf: ExecLeaf | undefined;
  try {
    const process = execProcess(config, input.argv, input.id);
    await allSettled([
      execLeafOf(parts, handler, input.id, basename(directory)).then((made) => (leaf = made)),
      writeOwnFile(execProcessFile(directory), process, 0o600),
    ]);
    return await new Exec({
      parts,
      handler,
      program,
      input,
      slot,
      fx,
      deadline,
      directory,
      leaf,
      pipeOwner: stdioOwner(config),
    }).toEnd();
  } finally {
    if (leaf !== undefined) await dissolveExecLeaf(parts, leaf);
    await removeDirectory(directory);
  }
}

interface ExecRun {
  readonly parts: DriverParts;
  readonly handler: Handler;
  readonly program: RuntimeProgram;
  readonly input: ExecInput;
  readonly slot: OutputSlot;
  readonly fx: EffectContext;
  readonly deadline: ExecDeadline;
  readonly directory: string;
  readonly leaf: ExecLeaf | undefined;
  readonly pipeOwner: PipeOwner | undefined;
}

interface Started extends BegunExec {
  readonly stdout: CappedOutput;
  readonly stderr: CappedOutput;
}

class Exec {
  readonly #run: ExecRun;
  readonly #logFile: string;
  readonly #deadline: ExecDeadline;

  constructor(run: ExecRun) {
    this.#run = run;
    this.#logFile = join(run.directory, 'runtime.log');
    this.#deadline = run.deadline;
  }

  async toEnd(): Promise<ExecResult> {
    const { parts, program, input, slot, leaf, fx } = this.#run;
    const started = await this.#launch();
    let process: ReturnType<ExpectedOrphan['take']>;
    let hasEnded = false;
    try {
      await this.#begun(started);
      await this.#deadline.bounded(program.confirm());
      process = started.orphan.take(started.child.identity);
      if (process === undefined)
        return this.#fail('the runtime exited without writing the pid file of the process');
      fx.note({ on: 'the exec process', pid: process.pid });
      const status = await this.#deadline.bounded(process.exited);
      hasEnded = true;
      await drained([started.stdout, started.stderr], slot, parts.clock, (granted) =>
        this.#deadline.bounded(granted),
      );
      return {
        exitCode: exitCodeOf(status, (reason) => this.#fail(reason)),
        ...takeBoth(started.stdout, started.stderr, slot),
      };
    } finally {
      if (!hasEnded)
        await killExec(parts, started, {
          id: input.id,
          leaf,
          pid: process?.pid,
          emptyMs: driverLimits.killMs,
        });
      started.orphan.forget();
      started.stdout.close();
      started.stderr.close();
    }
  }

  async #launch(): Promise<Started> {
    const { parts, handler, program, input, slot, fx, directory, leaf, pipeOwner } = this.#run;
    const pidFile = execPidFile(directory);
    const argv = execArgv(
      { path: program.path, globals: globalArgs(handler.root, this.#logFile, handler.options), id: input.id },
      { processFile: execProcessFile(directory), pidFile, options: leaf === undefined ? [] : [leaf.option] },
    );
    fx.note({ on: `${handler.name} exec`, argv });
    const orphan = expectOrphan(() => pidIn(pidFile));
    try {
      const child = await spawnProcess({
        argv,
        env: { PATH: parts.toolPath },
        cwd: directory,
        stdout: 'pipe',
        stderr: 'pipe',
        pipeOwner,
      });
      fx.note({ on: `${handler.name} exec`, argv, pid: child.pid });
      return {
        child,
        orphan,
        stdout: new CappedOutput(child.stdout, driverLimits.execOutputBytes, slot),
        stderr: new CappedOutput(child.stderr, driverLimits.execOutputBytes, slot),
      };
    } catch (error) {
      orphan.forget();
      throw error;
    }
  }

  /** Waits until the runtime has exited with code 0: the process was started. */
  async #begun(started: Started): Promise<void> {
    const { exitCode } = await this.#deadline.bounded(started.child.exited);
    if (exitCode !== 0) this.#fail(await this.#runtimeError(started));
  }

  #fail(reason: string): never {
    const { input, handler } = this.#run;
    return fail('outside', `exec in container ${input.id}: ${handler.name} exec: ${reason}`, {
      subject: input.id,
      quotesOutput: true,
    });
  }

  /** The runtime's error, from its log or from stderr, which it shares with the process. */
  async #runtimeError(started: Started): Promise<string> {
    const logged = lastError(await readTail(this.#logFile, monitorLimits.logTailBytes));
    if (logged !== '') return logged;
    await within({ clock: this.#run.parts.clock, timeoutMs: driverLimits.execDrainMs }, started.stderr.ended);
    const said = Buffer.from(started.stderr.takeBytes()).toString('utf8').slice(-monitorLimits.quotedChars);
    return printable(said) || 'no error message';
  }
}
