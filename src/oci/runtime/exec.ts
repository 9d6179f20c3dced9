/**
 * ExecSync: a process beside init, run to its end under a monitor of its own, which is our direct child and reaps it.
 * The process writes straight into our pipes: no file grows and nothing stands between (S03).
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { EffectContext } from '../../actors/ports/effect.ts';
import type { ProcessIdentity } from '../../actors/ports/journal.ts';
import type { ContainerInput, ExecResult } from '../../actors/ports/runtime.ts';
import { fail, printable } from '../../base/fault.ts';
import { driverLimits, monitorLimits } from '../../base/limits.ts';
import { closeFd, makePipe } from '../../host/descriptors.ts';
import { processStat } from '../../host/process-identity.ts';
import type { ProcessIdentity as ProcessIdentityOfHost } from '../../host/process-identity.ts';
import { killTree } from '../../host/process-kill.ts';
import { holdZombie } from '../../host/process-reaper.ts';
import { spawnProcess } from '../../host/process.ts';
import type { Child } from '../../host/process.ts';
import { SYNC_FD, execArgv, monitorEnv } from '../monitor/conmon.ts';
import { SyncPipe } from '../monitor/launch.ts';
import { parseExecExit, parseExecPid } from '../monitor/sync-pipe.ts';
import type { Report } from '../monitor/sync-pipe.ts';
import { within } from '../monitor/wait.ts';
import { dissolveExecLeaf, emptyCgroup, makeExecLeaf } from './driver-cgroup.ts';
import type { ExecLeaf } from './driver-cgroup.ts';
import { isAlive } from './driver-parts.ts';
import type { DriverParts } from './driver-parts.ts';
import { readNote } from './driver-record.ts';
import { readTail } from './driver-state.ts';
import { CappedOutput } from './exec-output.ts';
import { checkArgv, execProcess, readConfig } from './exec-process.ts';
import type { Handler } from './handlers.ts';
import { globalArgs, lastError } from './runc.ts';

export type ExecInput = ContainerInput & {
  readonly argv: readonly string[];
  readonly init: ProcessIdentity;
  /** 0 for none. */
  readonly execTimeoutMs: number;
};

/** Runs `argv` in the container. A program that can't be started rejects with `outside`; every exit code is a result. */
export async function execSync(parts: DriverParts, input: ExecInput, fx: EffectContext): Promise<ExecResult> {
  const { layout } = parts;
  const handler = parts.table.resolve(input.handler);
  checkArgv(input.argv, input.id);
  if (!isAlive(input.init)) fail('wrongState', `exec in container ${input.id}: it does not run`, { subject: input.id });
  const config = await readConfig(layout.configJson(input.id), input.id);
  const directory = await mkdtemp(join(layout.containerDir(input.id), 'exec-'));
  try {
    await writeFile(processFile(directory), execProcess(config, input.argv, input.id), { mode: 0o600 });
    const leaf = await leafOf(parts, handler, input, basename(directory));
    try {
      return await new Exec({ parts, handler, input, fx, directory, leaf }).toEnd();
    } finally {
      if (leaf !== undefined) await dissolveExecLeaf(parts, leaf);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function leafOf(parts: DriverParts, handler: Handler, input: ExecInput, name: string): Promise<ExecLeaf | undefined> {
  if (!parts.table.canExecInCgroup(handler.name)) return undefined;
  const note = await readNote(parts.layout, input.id);
  return note === undefined ? undefined : makeExecLeaf(parts, note.cgroup, name);
}

interface ExecRun {
  readonly parts: DriverParts;
  readonly handler: Handler;
  readonly input: ExecInput;
  readonly fx: EffectContext;
  readonly directory: string;
  readonly leaf: ExecLeaf | undefined;
}

function processFile(directory: string): string {
  return join(directory, 'process.json');
}

function logFile(directory: string): string {
  return join(directory, 'runtime.log');
}

/** The process with this pid if it is the monitor's child: it may have ended, and its pid have another owner, by now. */
function childOf(monitorPid: number, pid: number): ProcessIdentityOfHost | undefined {
  const stat = processStat(pid);
  return stat?.parentPid === monitorPid ? { pid, startTicks: stat.startTicks } : undefined;
}

interface Started {
  readonly child: Child;
  readonly sync: SyncPipe;
  readonly stdout: CappedOutput;
  readonly stderr: CappedOutput;
}

class Exec {
  readonly #parts: DriverParts;
  readonly #handler: Handler;
  readonly #input: ExecInput;
  readonly #fx: EffectContext;
  readonly #directory: string;
  readonly #leaf: ExecLeaf | undefined;
  readonly #limitMs: number;
  readonly #deadlineMs: number;

  constructor(run: ExecRun) {
    const { parts, handler, input, fx, directory } = run;
    this.#parts = parts;
    this.#handler = handler;
    this.#input = input;
    this.#fx = fx;
    this.#directory = directory;
    this.#leaf = run.leaf;
    this.#limitMs = input.execTimeoutMs > 0 ? Math.min(input.execTimeoutMs, fx.timeoutMs) : fx.timeoutMs;
    this.#deadlineMs = parts.clock.monoMs() + this.#limitMs;
  }

  async toEnd(): Promise<ExecResult> {
    const started = await this.#launch();
    let process: ProcessIdentityOfHost | undefined;
    let hasEnded = false;
    try {
      const pid = await this.#next(started, parseExecPid);
      process = childOf(started.child.pid, pid);
      this.#fx.note({ on: 'the exec process', pid });
      const exitCode = await this.#next(started, parseExecExit);
      hasEnded = true;
      await this.#endMonitor(started);
      return { exitCode, stdout: started.stdout.bytes(), stderr: started.stderr.bytes() };
    } finally {
      if (!hasEnded) await this.#kill(started, process);
      started.sync.close();
      started.stdout.close();
      started.stderr.close();
    }
  }

  async #launch(): Promise<Started> {
    const { layout, monitorPath, systemdCgroup, toolPath } = this.#parts;
    const { id } = this.#input;
    const argv = execArgv({
      monitorPath,
      runtimePath: this.#handler.path,
      runtimeArgs: globalArgs(this.#handler.root, logFile(this.#directory), systemdCgroup),
      id,
      bundleDir: layout.bundleDir(id),
      systemdCgroup,
      processFile: processFile(this.#directory),
      pidFile: join(this.#directory, 'pid'),
      runtimeOptions: this.#leaf === undefined ? [] : [this.#leaf.option],
    });
    this.#fx.note({ on: `${this.#handler.name} exec`, argv });
    const sync = makePipe();
    try {
      const child = await spawnProcess({
        argv,
        env: monitorEnv(toolPath, false),
        cwd: this.#directory,
        stdout: 'pipe',
        stderr: 'pipe',
        extraFds: [{ childFd: SYNC_FD, fd: sync.write }],
      });
      this.#fx.note({ on: `${this.#handler.name} exec`, argv, pid: child.pid });
      return {
        child,
        sync: new SyncPipe(sync.read),
        stdout: new CappedOutput(child.stdout, driverLimits.execOutputBytes),
        stderr: new CappedOutput(child.stderr, driverLimits.execOutputBytes),
      };
    } catch (error) {
      closeFd(sync.read);
      throw error;
    } finally {
      closeFd(sync.write);
    }
  }

  async #next(started: Started, parse: (line: string) => Report): Promise<number> {
    const { clock } = this.#parts;
    const subject = { subject: this.#input.id };
    const attempted = `exec in container ${this.#input.id}`;
    const timeoutMs = Math.max(0, this.#deadlineMs - clock.monoMs());
    const answer = await started.sync.next({ clock, timeoutMs, signal: this.#fx.signal });
    if (answer === 'cancelled') fail('cancelled', `${attempted}: the result is no longer wanted`, subject);
    if (answer === 'timedOut') fail('timedOut', `${attempted}: the command has not ended within ${this.#limitMs} ms`, subject);
    const stage = `${attempted}: ${this.#handler.name} exec`;
    if (answer === 'ended') return fail('outside', `${stage}: ${await this.#complaint(started)}`, subject);
    const report = parse(answer.line);
    if (report.kind === 'value') return report.value;
    if (report.kind === 'garbage') return fail('outside', `${stage}: the monitor's report can't be used: ${report.reason}`, subject);
    return fail('outside', `${stage}: ${report.message || (await this.#complaint(started))}`, subject);
  }

  /** The runtime's reason, from its log or from the stderr that it shares with the process. */
  async #complaint(started: Started): Promise<string> {
    const logged = lastError(await readTail(logFile(this.#directory), monitorLimits.logTailBytes));
    if (logged !== '') return logged;
    await within({ clock: this.#parts.clock, timeoutMs: driverLimits.execDrainMs }, started.stderr.ended);
    const said = Buffer.from(started.stderr.bytes()).toString('utf8').slice(-monitorLimits.quotedChars);
    return printable(said) || 'its monitor ended without a report';
  }

  async #endMonitor(started: Started): Promise<void> {
    const { clock } = this.#parts;
    // background children may hold the pipes for ever: what they write from here on is nobody's
    const drained = Promise.all([started.stdout.ended, started.stderr.ended]);
    await within({ clock, timeoutMs: driverLimits.execDrainMs }, drained);
    const ended = await within({ clock, timeoutMs: driverLimits.execMonitorEndMs }, started.child.exited);
    if (ended === 'timedOut') await this.#kill(started, undefined);
  }

  /** Kills the process with its tree and session, then the monitor with what else it started; returns when they are gone. */
  async #kill(started: Started, process: ProcessIdentityOfHost | undefined): Promise<void> {
    const { clock, log } = this.#parts;
    const release = holdZombie(started.child.pid);
    try {
      const left = process === undefined ? [] : await killTree(process, clock);
      left.push(...(await killTree(started.child.identity, clock)));
      if (this.#leaf !== undefined) await emptyCgroup(this.#parts, this.#input.id, this.#leaf.path, driverLimits.killMs);
      if (left.length > 0) log.warn({ id: this.#input.id, pids: left.map((one) => one.pid) }, 'processes of an exec do not end');
    } finally {
      release();
    }
  }
}
