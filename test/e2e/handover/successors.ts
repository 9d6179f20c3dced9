// The daemons that take over from an instance's, one after the other.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseLocks } from '../../../src/host/files/directory-lock.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { until } from '../../support/eventually.ts';
import type { Instance } from '../../support/instance.ts';

/** Messages of the log of a daemon that takes over, in their order. */
export const FREEZES = 'taking over from another daemon';
export const RELEASED = 'the other daemon has released the lock';
export const SERVES = 'serving';

const LOOK_MS = 10;

/** A daemon that this process has started with `--take-over`. */
export interface Successor {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Its exit code, -1 after a signal. */
  readonly ended: Promise<number>;
  readonly log: () => Promise<string>;
  /** When it was started, epoch ms. */
  readonly startedMs: number;
}

export class Successors {
  readonly #instance: Instance;
  readonly #all: Successor[] = [];

  constructor(instance: Instance) {
    this.#instance = instance;
    // a terminal's Ctrl-C does not reach them in sessions of their own
    process.once('exit', () => this.#all.forEach(({ child }) => child.kill('SIGKILL')));
  }

  get all(): readonly Successor[] {
    return this.#all;
  }

  /** Starts a daemon with `--take-over`, and more options, of which later ones win. */
  start(...more: readonly string[]): Successor {
    const file = join(this.#instance.directory, `taker${this.#all.length}.log`);
    const output = openSync(file, 'a');
    const [program, ...options] = this.#instance.argv;
    const startedMs = Date.now();
    const child = spawn(program, [...options, '--take-over', ...more], {
      stdio: ['ignore', output, output],
      cwd: '/',
    });
    closeSync(output);
    const ended = new Promise<number>((resolve) => void child.once('exit', (code) => resolve(code ?? -1)));
    const successor = { child, pid: child.pid ?? 0, ended, startedMs, log: () => readFile(file, 'utf8') };
    this.#all.push(successor);
    return successor;
  }

  /** The process that holds the root's lock; undefined while none does. */
  serving(): number | undefined {
    const { dev, ino } = statSync(this.#instance.root, { bigint: true });
    return parseLocks(readFileSync('/proc/locks', 'latin1'), dev, ino);
  }

  /** Ends the daemon that serves, and those before it, as a service manager does. Throws when one does not end. */
  async terminate(): Promise<void> {
    const pid = this.serving();
    if (pid !== undefined) process.kill(pid, 'SIGTERM');
    await until(() => this.serving() === undefined);
    // the daemons before it end with it
    for (const { ended } of this.#all) await ended;
    await this.#instance.ended();
  }

  /** Ends whatever is left of them: those of this process, and those that a daemon has started. */
  async kill(): Promise<void> {
    for (const { child } of this.#all) child.kill('SIGKILL');
    const logs = await Promise.all([this.#instance.log(), ...this.#all.map(({ log }) => log())]);
    const began = /"pid":(\d+),[^\n]*"msg":"started a (?:successor|program)/gu;
    for (const [, pid] of logs.join('').matchAll(began))
      if (this.isOurs(Number(pid))) process.kill(Number(pid), 'SIGKILL');
  }

  /** Whether a process is a daemon of this instance, and not another one under its number. */
  isOurs(pid: number): boolean {
    const path = `/proc/${pid}/cmdline`;
    return existsSync(path) && readFileSync(path, 'utf8').includes(this.#instance.directory);
  }
}

/** The first log line with this message; undefined where it is not there. */
export async function lineOf(
  log: () => Promise<string>,
  message: string,
): Promise<{ readonly time: string; readonly ms?: number } | undefined> {
  const line = (await log()).split('\n').find((one) => one.includes(`"msg":"${message}"`));
  return line === undefined
    ? undefined
    : (JSON.parse(line) as { readonly time: string; readonly ms?: number });
}

/** When a log line with this message was written, epoch ms; undefined where it is not there. */
export async function momentOf(log: () => Promise<string>, message: string): Promise<number | undefined> {
  const line = await lineOf(log, message);
  return line === undefined ? undefined : Date.parse(line.time);
}

/** Waits for a log line with this message. Throws with the log's end when the daemon ends before. */
export async function says(successor: Successor, message: string): Promise<number> {
  const untilMs = performance.now() + EVENT_MS;
  for (;;) {
    const hasEnded = successor.child.exitCode !== null || successor.child.signalCode !== null;
    const at = await momentOf(successor.log, message);
    if (at !== undefined) return at;
    if (hasEnded || performance.now() > untilMs)
      throw new Error(
        `a daemon that takes over did not say "${message}": ${(await successor.log()).slice(-2000)}`,
      );
    await delay(LOOK_MS);
  }
}
