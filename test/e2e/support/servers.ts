// Programs that serve until they are ended: their ports, their logs, their ends.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const END_TIMEOUT_MS = 20_000;

/** A port of 127.0.0.1 that nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  if (address === null || typeof address === 'string') throw new Error('a listener on 127.0.0.1 has no port');
  return address.port;
}

/** Starts a program whose output goes to the end of a file. */
export function spawnLogged(program: string, args: readonly string[], log: string): ChildProcess {
  const output = openSync(log, 'a');
  const child = spawn(program, args, { stdio: ['ignore', output, output], cwd: '/' });
  closeSync(output);
  return child;
}

export const isRunning = (child: ChildProcess): boolean =>
  child.exitCode === null && child.signalCode === null;

/** SIGTERM, and SIGKILL when that is not enough. */
export async function endServer(child: ChildProcess): Promise<void> {
  if (!isRunning(child)) return;
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
  });
  child.kill('SIGTERM');
  const timer = new AbortController();
  const first = await Promise.race([ended, delay(END_TIMEOUT_MS, 'late' as const, { signal: timer.signal })]);
  timer.abort();
  if (first === 'late') child.kill('SIGKILL');
  await ended;
}
