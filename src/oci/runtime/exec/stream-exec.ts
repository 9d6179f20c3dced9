/**
 * Exec: a process beside init with a client's streams. As for ExecSync, a detached runtime starts it and the daemon
 * reaps it. The daemon holds its pipes, or the master of its terminal, so no other process copies the streams.
 */
import { closeSync, fchownSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { basename, join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ClientStreams, StreamExecInput, TerminalSize } from '../../../ports/streams.ts';
import { pump } from '../../../base/byte-streams.ts';
import { fail } from '../../../base/fault.ts';
import { driverLimits, monitorLimits } from '../bounds.ts';
import { portLimits } from '../../../ports/bounds.ts';
import { makePipe, writeEnd } from '../../../host/io/descriptors.ts';
import { writeOwnFile } from '../../../host/files/state-files.ts';
import { PolledDescriptor } from '../../../host/io/polled-descriptor.ts';
import { expectOrphan } from '../../../host/process/process-reaper.ts';
import type { ExpectedOrphan } from '../../../host/process/process-reaper.ts';
import { spawnProcess } from '../../../host/process/process.ts';
import type { Child, PipeOwner } from '../../../host/process/process.ts';
import { socketSink, socketSource } from '../../../host/streams/socket-bytes.ts';
import { dissolveExecLeaf } from '../container/cgroup.ts';
import type { ExecLeaf } from '../container/cgroup.ts';
import type { DriverParts } from '../container/parts.ts';
import { readTail } from '../container/state.ts';
import { ExecDeadline } from './deadline.ts';
import { exitCodeOf, killExec } from './end.ts';
import type { BegunExec } from './end.ts';
import { EXEC_PREFIX, prepareExec, execLeafOf, execPidFile, execProcessFile, pidIn } from './files.ts';
import { execProcess } from '../container/exec-process.ts';
import type { Handler } from '../handlers/handlers.ts';
import { execArgv, globalArgs, lastError } from '../container/runc.ts';
import { stdioOwner } from '../container/stdio-owner.ts';
import type { RuntimeProgram } from '../container/runtime-program.ts';
import { ConsoleSocket, firstSize, setTerminalSize } from './stream-console.ts';
import { OutputPump, drain, discard, reasonOf } from './stream-output.ts';

/** Directory of the console sockets of this instance. */
export function consolesDir(parts: DriverParts): string {
  return join(parts.layout.state, 'tty');
}

/** See `StreamsPort.exec`. */
export async function streamExec(
  parts: DriverParts,
  input: StreamExecInput,
  client: ClientStreams,
  fx: EffectContext,
): Promise<{ readonly exitCode: number }> {
  const limitMs = Math.min(fx.timeoutMs, driverLimits.execStartMs);
  const deadline = new ExecDeadline({ clock: parts.clock, id: input.id, fx, limitMs, reason: reasonOf });
  const { handler, config, directory, program } = await prepareExec(parts, input, deadline);
  let leaf: ExecLeaf | undefined;
  let console: ConsoleSocket | undefined;
  try {
    const size = input.tty ? await firstSize(parts.clock, client, fx) : undefined;
    await writeOwnFile(
      execProcessFile(directory),
      execProcess(config, input.argv, input.id, { wanted: input.tty, size }),
      0o600,
    );
    input.onArgvRead?.();
    leaf = await execLeafOf(parts, handler, input.id, basename(directory), true);
    if (input.tty) console = await ConsoleSocket.listen(consolesDir(parts), consoleName(input.id, directory));
    const run = {
      parts,
      handler,
      program,
      input,
      client,
      fx,
      directory,
      leaf,
      console,
      pipeOwner: stdioOwner(config),
    };
    return { exitCode: await new StreamedExec(run).toEnd() };
  } finally {
    await console?.close();
    if (leaf !== undefined) await dissolveExecLeaf(parts, leaf);
    await rm(directory, { recursive: true, force: true });
  }
}

/** Unique within the instance: the start of the container's id and the six characters of the exec's directory. */
function consoleName(id: string, directory: string): string {
  return `${id.slice(0, 12)}-${basename(directory).slice(EXEC_PREFIX.length)}`;
}

interface Run {
  readonly parts: DriverParts;
  readonly handler: Handler;
  readonly program: RuntimeProgram;
  readonly input: StreamExecInput;
  readonly client: ClientStreams;
  readonly fx: EffectContext;
  readonly directory: string;
  readonly leaf: ExecLeaf | undefined;
  readonly console: ConsoleSocket | undefined;
  readonly pipeOwner: PipeOwner | undefined;
}

interface Started extends BegunExec {
  readonly stdin: Socket | undefined;
}

class StreamedExec {
  readonly #run: Run;
  readonly #logFile: string;
  readonly #pumps: OutputPump[] = [];
  #terminal: PolledDescriptor | undefined;
  #size: TerminalSize | undefined;
  #isClosed = false;

  constructor(run: Run) {
    this.#run = run;
    this.#logFile = join(run.directory, 'runtime.log');
  }

  async toEnd(): Promise<number> {
    const { parts, program, input, leaf, fx, client, console } = this.#run;
    client.onResize((size) => this.#resize(size));
    const started = await this.#launch();
    let process: ReturnType<ExpectedOrphan['take']>;
    let hasEnded = false;
    try {
      const startBoundMs = Math.min(fx.timeoutMs, driverLimits.execStartMs);
      const terminal = console?.master.then((master) => this.#begin(master));
      // reported where it is awaited below, unless the runtime fails first
      terminal?.catch(() => undefined);
      const { exitCode } = await this.#deadline(startBoundMs).bounded(started.child.exited, 'the runtime');
      if (exitCode !== 0) this.#fail(await this.#runtimeError());
      await this.#deadline(startBoundMs).bounded(program.confirm(), 'the runtime');
      process = started.orphan.take(started.child.identity);
      if (process === undefined)
        return this.#fail('the runtime exited without writing the pid file of the process');
      if (terminal !== undefined) await this.#deadline(startBoundMs).bounded(terminal, 'the terminal');
      fx.note({ on: 'the exec process', pid: process.pid });
      const status = await this.#deadline(fx.timeoutMs).bounded(process.exited);
      hasEnded = true;
      await drain(this.#pumps, parts.clock, fx.signal);
      return exitCodeOf(status, (reason) => this.#fail(reason));
    } finally {
      if (!hasEnded)
        await killExec(parts, started, {
          id: input.id,
          leaf,
          pid: process?.pid,
          emptyMs: portLimits.streamCloseMs,
        });
      this.#close(started);
    }
  }

  async #launch(): Promise<Started> {
    const { parts, handler, program, input, fx, client, directory, leaf, console, pipeOwner } = this.#run;
    const pidFile = execPidFile(directory);
    const options = [
      ...(leaf === undefined ? [] : [leaf.option]),
      ...(console === undefined ? [] : [`--console-socket=${console.path}`]),
    ];
    const argv = execArgv(
      { path: program.path, globals: globalArgs(handler.root, this.#logFile, handler.options), id: input.id },
      { processFile: execProcessFile(directory), pidFile, options },
    );
    fx.note({ on: `${handler.name} exec`, argv });
    const stdin = input.tty || client.stdin === undefined ? undefined : makePipe();
    const orphan = expectOrphan(() => pidIn(pidFile));
    try {
      if (stdin !== undefined && pipeOwner !== undefined)
        fchownSync(stdin.read, pipeOwner.uid, pipeOwner.gid);
      const child = await spawnProcess({
        argv,
        env: { PATH: parts.toolPath },
        cwd: directory,
        stdin: stdin === undefined ? 'null' : stdin.read,
        stdout: input.tty || client.stdout === undefined ? 'null' : 'pipe',
        stderr: input.tty || client.stderr === undefined ? 'null' : 'pipe',
        pipeOwner,
      });
      fx.note({ on: `${handler.name} exec`, argv, pid: child.pid });
      return { child, orphan, stdin: this.#connect(child, stdin?.write) };
    } catch (error) {
      orphan.forget();
      if (stdin !== undefined) closeSync(stdin.write);
      throw error;
    } finally {
      if (stdin !== undefined) closeSync(stdin.read);
    }
  }

  /** Starts copying the streams that are pipes. */
  #connect(child: Child, stdinFd: number | undefined): Socket | undefined {
    const { client, parts } = this.#run;
    for (const name of ['stdout', 'stderr'] as const) {
      const [pipe, sink] = [child[name], client[name]];
      if (pipe !== undefined)
        this.#pumps.push(new OutputPump(socketSource(pipe), sink ?? discard, parts.clock, true));
    }
    if (stdinFd === undefined) return undefined;
    const stdin = writeEnd(stdinFd);
    // the process may close its stdin at any time
    stdin.on('error', () => undefined);
    if (client.stdin !== undefined) pump(client.stdin, socketSink(stdin)).catch(() => stdin.destroy());
    return stdin;
  }

  /** Starts copying through the terminal, which the runtime has sent. */
  #begin(master: number): void {
    const { client, parts, input } = this.#run;
    if (this.#isClosed) return closeSync(master);
    const terminal = new PolledDescriptor(master, `the terminal of an exec in container ${input.id}`);
    this.#terminal = terminal;
    if (this.#size !== undefined) setTerminalSize(master, this.#size);
    this.#pumps.push(new OutputPump(terminal, client.stdout ?? discard, parts.clock));
    // a terminal's input does not end: only its user can type the end-of-file character
    if (client.stdin !== undefined) pump(client.stdin, terminal).catch(() => undefined);
  }

  #resize(size: TerminalSize): void {
    this.#size = size;
    const master = this.#terminal?.fd;
    if (master !== undefined) setTerminalSize(master, size);
  }

  /** Each from now on. */
  #deadline(limitMs: number): ExecDeadline {
    const { parts, input, fx } = this.#run;
    return new ExecDeadline({ clock: parts.clock, id: input.id, fx, limitMs, reason: reasonOf });
  }

  #fail(reason: string): never {
    const { input, handler } = this.#run;
    return fail('outside', `exec in container ${input.id}: ${handler.name} exec: ${reason}`, {
      subject: input.id,
      quotesOutput: true,
    });
  }

  async #runtimeError(): Promise<string> {
    return lastError(await readTail(this.#logFile, monitorLimits.logTailBytes)) || 'no error message';
  }

  #close(started: Started): void {
    this.#isClosed = true;
    started.orphan.forget();
    this.#run.client.stdin?.cancel();
    for (const one of this.#pumps) one.stop();
    this.#terminal?.close();
    for (const pipe of [started.stdin, started.child.stdout, started.child.stderr]) pipe?.destroy();
  }
}
