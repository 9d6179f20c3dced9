/**
 * Starts successors whose parent is process 1. systemd sees the end of a main process, and waits for it at a stop,
 * only if it is its child. But a daemon is the reaper of its descendants' orphans (process-reaper.ts), so what it
 * starts stays below it. A small script, bin/troupe-starter, which is started before the daemon becomes that, does it
 * in its place: it waits for the path of a program, and ends with the daemon.
 */
import { accessSync, closeSync, constants, writeSync } from 'node:fs';
import { fail, toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { realClock } from '../../host/clock/clock.ts';
import { within } from '../../host/clock/wait.ts';
import { makePipe } from '../../host/io/descriptors.ts';
import type { SocketReader } from '../../host/io/socket-reader.ts';
import { processIdentity } from '../../host/process/process-identity.ts';
import { spawnProcess } from '../../host/process/process.ts';
import { takeOverLimits } from '../bounds.ts';
import { ownEnvironment } from '../config/config.ts';
import { notifySocket } from '../config/from-systemd.ts';
import { untilGone } from './relays.ts';
import { ownFile, successorOptions } from './successor.ts';
import type { StartedProgram } from './upgrading.ts';

const SHELL = '/bin/sh';
/** Its descriptors: paths of programs come from one, and the other is the daemon's standard output. */
const [PATHS, OUTPUT] = [3, 4];

export class Starter {
  readonly #paths: number;
  #onAnswer: ((text: string) => void) | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  /** @param paths is owned by the starter, and so is the reader of answers */
  constructor(paths: number, answers: SocketReader) {
    this.#paths = paths;
    // the shell writes a pid with one call, and a pipe keeps that together
    answers.start((bytes) => this.#onAnswer?.(Buffer.from(bytes).toString('latin1')));
    answers.socket.unref();
  }

  /** Starts the program with this daemon's options. Throws `notFound` and `outside`. */
  start(program: string): Promise<StartedProgram> {
    const started = this.#turn.then(() => this.#startNow(program));
    this.#turn = started.catch(() => undefined);
    return started;
  }

  async #startNow(program: string): Promise<StartedProgram> {
    refuseUnusable(program);
    const answered = new Promise<string>((resolve) => {
      this.#onAnswer = resolve;
    });
    writeSync(this.#paths, `${program}\n`);
    const answer = await within({ clock: realClock(), timeoutMs: takeOverLimits.answerMs }, answered);
    const pid = Number(answer.trim());
    const identity = Number.isSafeInteger(pid) && pid > 0 ? processIdentity(pid) : undefined;
    if (identity === undefined)
      return fail('outside', `start ${program}: it has ended at once, or was not started`);
    // process 1 gets its status
    const exited = untilGone([identity], realClock()).then(() => ({ exitCode: null, signal: null }));
    return { pid, identity, exited };
  }
}

/** The shell would report it in the log alone. */
function refuseUnusable(program: string): void {
  try {
    accessSync(program, constants.X_OK);
  } catch (thrown) {
    fail('notFound', `start ${program}: ${toFault(thrown).message}`);
  }
  if (program.includes('\n')) fail('invalidRequest', 'start a program with a line feed in its path');
}

/**
 * Under systemd only, and before this process reaps orphans. Undefined without systemd, or when it can't be started.
 */
export async function startStarter(log: Log): Promise<Starter | undefined> {
  if (notifySocket() === '') return undefined;
  const paths = makePipe();
  try {
    const { exited, stdout } = await spawnProcess({
      // by the shell, since a directory may be mounted noexec or have another label than the launcher
      argv: [SHELL, ownFile('troupe-starter'), ...successorOptions()],
      env: ownEnvironment(),
      isHelper: false,
      cwd: process.cwd(),
      stdout: 'pipe',
      stderr: 2,
      extraFds: [
        { childFd: PATHS, fd: paths.read },
        { childFd: OUTPUT, fd: 1 },
      ],
    });
    // the one that waits is left behind by it. Nothing else keeps this process alive so early in its start
    await within({ clock: realClock(), timeoutMs: takeOverLimits.answerMs }, exited);
    if (stdout === undefined) return fail('bug', 'a starter without its answers');
    return new Starter(paths.write, stdout);
  } catch (thrown) {
    closeSync(paths.write);
    log.warn({ reason: toFault(thrown).message }, 'start the starter of successors: failed');
    return undefined;
  } finally {
    closeSync(paths.read);
  }
}
