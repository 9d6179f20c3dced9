/** Starts a monitor and reads its reports. */
import { writeSync } from 'node:fs';
import type { ClockPort } from '../../../ports/clock.ts';
import { fail, printable } from '../../../base/fault.ts';
import { Fifo } from '../../../base/fifo.ts';
import { monitorLimits } from '../bounds.ts';
import { LineCutter } from '../../../base/line-cutter.ts';
import { closeFd, makePipe } from '../../../host/io/descriptors.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { killTree } from '../../../host/process/process-kill.ts';
import { spawnWithPipes } from '../../../host/process/process.ts';
import type { Spawned } from '../../../host/process/process.ts';
import { LateOutput } from '../../../host/io/late-output.ts';
import { SocketReader } from '../../../host/io/socket-reader.ts';
import { within } from '../../../host/clock/wait.ts';
import type { WaitBound } from '../../../host/clock/wait.ts';
import { START_FD, SYNC_FD } from './conmon.ts';

/** The read end of a sync pipe. */
export class SyncPipe {
  readonly #reader: SocketReader;
  readonly #cutter = new LineCutter(monitorLimits.reportBytes);
  readonly #lines = new Fifo<string>();
  #ended = false;
  #wake: (() => void) | undefined;

  /** Takes ownership of the descriptor. */
  constructor(fd: number) {
    this.#reader = new SocketReader(fd);
    this.#reader.start((bytes) => {
      for (const line of this.#cutter.push(bytes)) this.#take(line);
      if (this.#cutter.isCut) this.#end();
      this.#wake?.();
    });
    void this.#reader.closed.then(() => {
      this.#take(this.#cutter.takeRest());
      this.#end();
    });
  }

  #take(line: string): void {
    if (line.trim() === '' || this.#cutter.isCut) return;
    if (this.#lines.length < monitorLimits.reportLines) this.#lines.push(line);
    else this.#end();
  }

  #end(): void {
    this.#ended = true;
    this.#reader.destroy();
    this.#wake?.();
  }

  /**
   * The next line; `ended` when the monitor closed the pipe or sent a line that is too long. One caller at a time.
   */
  async next(bound: WaitBound): Promise<{ readonly line: string } | 'ended' | 'timedOut' | 'cancelled'> {
    const ready = new Promise<void>((resolve) => {
      this.#wake = (): void => {
        if (this.#lines.length > 0 || this.#ended) resolve();
      };
      this.#wake();
    });
    const met = await within(bound, ready);
    this.#wake = undefined;
    if (met !== undefined) return met;
    const line = this.#lines.shift();
    return line === undefined ? 'ended' : { line };
  }

  close(): void {
    this.#end();
  }
}

/** The first bytes of a monitor's stderr, usually none. */
export class StderrHead {
  readonly #output: LateOutput;

  /** Takes ownership of the descriptor. */
  constructor(fd: number | undefined, clock: ClockPort) {
    this.#output = new LateOutput(fd, monitorLimits.quotedChars, clock);
  }

  /** What was written, as one printable line; can be called once. */
  text(): string {
    this.#output.readRest();
    return printable(Buffer.from(this.#output.takeBytes()).toString('utf8'));
  }

  close(): void {
    this.#output.close();
  }
}

export interface Launched {
  readonly child: Spawned;
  readonly sync: SyncPipe;
  readonly stderr: StderrHead;
}

export interface LaunchRequest {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /**
   * Runs while the monitor waits on its start pipe: moves it to its cgroup before it starts anything. If it rejects,
   * the monitor is killed and the launch fails.
   */
  readonly beforeStart: (pid: number) => Promise<void>;
  readonly clock: ClockPort;
}

/** Starts a container's monitor. Returns once it was released from its start pipe. */
export async function launchMonitor(request: LaunchRequest): Promise<Launched> {
  const sync = makePipe();
  const start = makePipe();
  let launched: Launched | undefined;
  try {
    const child = await spawnWithPipes({
      argv: request.argv,
      env: request.env,
      // the mark of helpers would be inherited by what the monitor starts: the runtime's create and processes of its
      // hooks
      isHelper: false,
      cwd: request.cwd,
      stderr: 'pipe',
      extraFds: [
        { childFd: SYNC_FD, fd: sync.write },
        { childFd: START_FD, fd: start.read },
      ],
    });
    launched = { child, sync: new SyncPipe(sync.read), stderr: new StderrHead(child.stderr, request.clock) };
    await request.beforeStart(child.pid);
    release(start.write, request.argv);
    return launched;
  } catch (error) {
    if (launched === undefined) closeFd(sync.read);
    else {
      // before the start pipe is closed, since its end releases the monitor, too
      await killTree(launched.child.identity, request.clock);
      launched.sync.close();
      launched.stderr.close();
    }
    throw error;
  } finally {
    closeFd(sync.write);
    closeFd(start.read);
    closeFd(start.write);
  }
}

function release(fd: number, argv: readonly string[]): void {
  try {
    writeSync(fd, 'x');
  } catch (error) {
    // it has exited already, which the end of its sync pipe shows
    if (codeOf(error) !== 'EPIPE')
      fail('outside', `start ${argv[0] ?? ''}: write to start pipe: ${codeOf(error)}`);
  }
}
