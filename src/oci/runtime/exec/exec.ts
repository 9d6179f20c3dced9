/**
 * ExecSync: a process beside init, run to its end. The runtime starts it detached and ends; as the reaper of orphans
 * this daemon then is its parent and hears the exit code. The process writes straight into our pipes: no file grows
 * and nothing stands between (S03).
 */
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ExecResult } from '../../../ports/runtime.ts';
import { fail, printable } from '../../../base/fault.ts';
import { driverLimits, monitorLimits } from '../bounds.ts';
import { expectOrphan } from '../../../host/process/process-reaper.ts';
import type { ExpectedOrphan } from '../../../host/process/process-reaper.ts';
import { spawnProcess } from '../../../host/process/process.ts';
import type { PipeOwner } from '../../../host/process/process.ts';
import { removeDirectory } from '../../../host/files/remove-tree.ts';
import { within } from '../../../host/clock/wait.ts';
import { dissolveExecLeaf } from '../container/cgroup.ts';
import type { ExecLeaf } from '../container/cgroup.ts';
import type { DriverParts } from '../container/parts.ts';
import { readTail } from '../container/state.ts';
import { exitCodeOf, killExec } from './end.ts';
import type { BegunExec } from './end.ts';
import { beginExec, execLeafOf, execPidFile, execProcessFile, pidIn } from './files.ts';
import type { ExecWish } from './files.ts';
import { CappedOutput, drained, takeBoth } from './output.ts';
import { withOutputRoom } from './output-budget.ts';
import type { OutputRoom } from './output-budget.ts';
import { execProcess } from '../container/exec-process.ts';
import type { Handler } from '../handlers/handlers.ts';
import { execArgv, globalArgs, lastError } from '../container/runc.ts';
import { stdioOwner } from '../container/stdio-owner.ts';

export type ExecInput = ExecWish & {
  /** Of the pod. */
  readonly namespace: string;
  /** 0 for none. */
  readonly execTimeoutMs: number;
  /** Aborts once the answer has left, or nobody waits for it: what is kept for it can go. */
  readonly over?: AbortSignal | undefined;
};

/**
 * Resolves with the exit code and what the process wrote, whatever the code. Rejects with `wrongState` when the
 * container does not run, with `timedOut` or `cancelled` after the process and all that it started were killed.
 */
export function execSync(parts: DriverParts, input: ExecInput, fx: EffectContext): Promise<ExecResult> {
  return withOutputRoom(input, parts.log, (room) => execInRoom(parts, input, room, fx));
}

async function execInRoom(
  parts: DriverParts,
  input: ExecInput,
  room: OutputRoom,
  fx: EffectContext,
): Promise<ExecResult> {
  const { handler, config, directory } = await beginExec(parts, input);
  let leaf: ExecLeaf | undefined;
  try {
    const process = execProcess(config, input.argv, input.id);
    [leaf] = await Promise.all([
      execLeafOf(parts, handler, input.id, basename(directory)),
      writeFile(execProcessFile(directory), process, { mode: 0o600 }),
    ]);
    return await new Exec({
      parts,
      handler,
      input,
      room,
      fx,
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
  readonly input: ExecInput;
  readonly room: OutputRoom;
  readonly fx: EffectContext;
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
  readonly #limitMs: number;
  readonly #deadlineMs: number;

  constructor(run: ExecRun) {
    const { parts, input, fx } = run;
    this.#run = run;
    this.#logFile = join(run.directory, 'runtime.log');
    this.#limitMs = input.execTimeoutMs > 0 ? Math.min(input.execTimeoutMs, fx.timeoutMs) : fx.timeoutMs;
    this.#deadlineMs = parts.clock.monoMs() + this.#limitMs;
  }

  async toEnd(): Promise<ExecResult> {
    const { parts, input, room, leaf, fx } = this.#run;
    const started = await this.#launch();
    let process: ReturnType<ExpectedOrphan['take']>;
    let hasEnded = false;
    try {
      await this.#begun(started);
      process = started.orphan.take(started.child.identity);
      if (process === undefined)
        return this.#fail('the runtime has ended without telling which process it started');
      fx.note({ on: 'the exec process', pid: process.pid });
      const status = await this.#bounded(process.exited);
      hasEnded = true;
      await drained([started.stdout, started.stderr], room, parts.clock, (granted) => this.#bounded(granted));
      return {
        exitCode: exitCodeOf(status, (reason) => this.#fail(reason)),
        ...takeBoth(started.stdout, started.stderr, room),
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
    const { parts, handler, input, room, fx, directory, leaf, pipeOwner } = this.#run;
    const pidFile = execPidFile(directory);
    const argv = execArgv(
      { path: handler.path, globals: globalArgs(handler.root, this.#logFile, handler.options), id: input.id },
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
        stdout: new CappedOutput(child.stdout, driverLimits.execOutputBytes, room),
        stderr: new CappedOutput(child.stderr, driverLimits.execOutputBytes, room),
      };
    } catch (error) {
      orphan.forget();
      throw error;
    }
  }

  /** The runtime has ended well: the process runs or ran. */
  async #begun(started: Started): Promise<void> {
    const { exitCode } = await this.#bounded(started.child.exited);
    if (exitCode !== 0) this.#fail(await this.#complaint(started));
  }

  async #bounded<T>(promise: Promise<T>): Promise<T> {
    const { parts, input, fx } = this.#run;
    const timeoutMs = Math.max(0, this.#deadlineMs - parts.clock.monoMs());
    const met = await within({ clock: parts.clock, timeoutMs, signal: fx.signal }, promise);
    const attempted = `exec in container ${input.id}`;
    if (met === 'cancelled')
      return fail('cancelled', `${attempted}: the result is no longer wanted`, { subject: input.id });
    if (met !== 'timedOut') return met;
    return fail('timedOut', `${attempted}: the command has not ended within ${this.#limitMs} ms`, {
      subject: input.id,
    });
  }

  #fail(reason: string): never {
    const { input, handler } = this.#run;
    return fail('outside', `exec in container ${input.id}: ${handler.name} exec: ${reason}`, {
      subject: input.id,
    });
  }

  /** The runtime's reason, from its log or from the stderr that it shares with the process. */
  async #complaint(started: Started): Promise<string> {
    const logged = lastError(await readTail(this.#logFile, monitorLimits.logTailBytes));
    if (logged !== '') return logged;
    await within({ clock: this.#run.parts.clock, timeoutMs: driverLimits.execDrainMs }, started.stderr.ended);
    const said = Buffer.from(started.stderr.takeBytes()).toString('utf8').slice(-monitorLimits.quotedChars);
    return printable(said) || 'it said nothing';
  }
}
