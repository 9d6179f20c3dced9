// One run of a guest: disks in and out, its console, and a bound on all of it.
import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { runOrThrow } from '../support/run.ts';

const RESULTS_BYTES = 256 * 1024 * 1024;

export interface Disk {
  /** What the guest finds it by. */
  readonly serial: 'root' | 'modules' | 'checkout' | 'results' | 'data' | `image-${number}`;
  readonly file: string;
  /** `snapshot`: what the guest writes is gone with the run. `plain`: `write` without discards. */
  readonly use: 'snapshot' | 'readonly' | 'write' | 'plain';
}

export interface GuestRun {
  /** The root's first: user-mode Linux has no serial numbers, and names them by their order. */
  readonly disks: readonly Disk[];
  readonly memoryMib: number;
  /** Words for the kernel, of all machines alike. */
  readonly commandLine: readonly string[];
  /** A directory for this run: the results' disk and the console's log. */
  readonly directory: string;
  /** ms until it is killed. */
  readonly timeoutMs: number;
  /** What the job prints, as it prints it. */
  readonly onOutput: (text: string) => void;
  /** Added to the machine's own. */
  readonly env?: Readonly<Record<string, string>>;
  /** Cuts the guest's power; the run then ends well. */
  readonly cut?: AbortSignal;
}

/** A program that runs a guest. What the guest's job prints comes from its descriptor `JOB_FD`. */
export interface Machine {
  /** The value of `root=`. */
  readonly rootDevice: string;
  readonly env: Readonly<Record<string, string>>;
  /** Factor of every limit of the tests in the guest (test/support/patience.ts). */
  readonly patience: number;
  readonly argv: (run: GuestRun, consoleLog: string) => readonly string[];
}

/** The console's log, for machines that can't open it. */
export const CONSOLE_FD = 3;
/** Not stdout: a machine prints words of its own there. */
export const JOB_FD = 4;

/** Where the kernel and systemd write. */
export const consoleLog = (directory: string): string => join(directory, 'console.log');
/** A tar that the guest writes. */
export const resultsDisk = (directory: string): string => join(directory, 'results.img');

/** Runs it to its power-off. Throws when it had to be killed, with the end of its console. */
export async function runGuest(machine: Machine, run: GuestRun): Promise<void> {
  const results = await open(resultsDisk(run.directory), 'w');
  await results.truncate(RESULTS_BYTES);
  await results.close();
  const console_ = await open(consoleLog(run.directory), 'a');
  // if we are killed, it must not go on
  const argv = ['--pdeathsig', 'KILL', 'nice', '-n', '15', ...machine.argv(run, consoleLog(run.directory))];
  // what the machine writes for snapshots goes with the directory; a group of its own, since user-mode Linux is a
  // process for each of the guest's
  const child = spawn('setpriv', argv, {
    stdio: ['ignore', console_.fd, 'pipe', console_.fd, 'pipe'],
    detached: true,
    env: { ...machine.env, ...run.env, PATH: process.env['PATH'], TMPDIR: run.directory },
  });
  await console_.close();
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  process.once('exit', kill);
  let complaint = '';
  let isLate = false;
  const job = child.stdio[JOB_FD] as Readable;
  job.setEncoding('utf8').on('data', run.onOutput);
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-4096);
  });
  const timer = setTimeout(() => {
    isLate = true;
    kill();
  }, run.timeoutMs);
  run.cut?.addEventListener('abort', kill, { once: true });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  clearTimeout(timer);
  process.off('exit', kill);
  kill();
  if (!isLate && (code === 0 || run.cut?.aborted === true)) return;
  const log = (await runOrThrow(['tail', '--lines=40', consoleLog(run.directory)])).trim();
  const how = isLate
    ? `did not power off within ${run.timeoutMs / 1000} s`
    : `ended with ${code}: ${complaint}`;
  throw new Error(`the guest ${how}; the end of its console:\n${log}`);
}
