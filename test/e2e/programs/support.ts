// Commands of `troupe` that run programs, with input and in a terminal.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkout } from '../../support/tools/cache.ts';
import { terminal as inTerminal } from '../../support/terminal.ts';
import type { Terminal } from '../../support/terminal.ts';
import type { World } from '../support/world.ts';

const program = join(checkout, 'bin/troupe');

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  readonly stdout: () => string;
  readonly stderr: () => string;
}

/** The command line with the world's sockets: its options stand before the program's. */
function troupeArgv(world: World, command: string, ...args: readonly string[]): [string, ...string[]] {
  return [program, command, '--introspection', join(world.instance.state, 'introspection.sock'), ...args];
}

/** Starts a command; without an input its stdin stays open. */
export function start(world: World, command: string, args: readonly string[], input?: Buffer): Started {
  const [path, ...rest] = troupeArgv(world, command, ...args);
  const child = spawn(path, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
  const out: Buffer[] = [];
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  // a command may end before it has read all
  child.stdin.on('error', () => undefined);
  if (input !== undefined) child.stdin.end(input);
  const stdout = (): Buffer => Buffer.concat(out);
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, stdout: stdout(), stderr: err }));
  });
  return { child, ended, stdout: () => stdout().toString(), stderr: () => err };
}

/** Runs a command to its end. */
export const finish = (
  world: World,
  command: string,
  args: readonly string[],
  input?: Buffer,
): Promise<Ended> => start(world, command, args, input ?? Buffer.alloc(0)).ended;

/** A terminal of 111 columns and 33 rows without colours. */
const opened = (argv: readonly string[]): Terminal =>
  inTerminal(argv, { columns: 111, rows: 33, env: { ...process.env, NO_COLOR: '1' } });

/** Starts a command in a terminal. */
export const terminal = (world: World, command: string, ...args: readonly string[]): Terminal =>
  opened(troupeArgv(world, command, ...args));

/**
 * Starts a command in a terminal below a shell that stays after it, so that the terminal's mode can be read then;
 * prints the exit code.
 */
export function inShell(world: World, command: string, ...args: readonly string[]): Terminal {
  const script = '"$@"; echo "code=$?"; exec sleep 600';
  return opened(['/bin/sh', '-c', script, 'sh', ...troupeArgv(world, command, ...args)]);
}

/** The process below a shell. */
export async function childOf(pid: number): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return Number(children.trim().split(' ')[0]);
}
