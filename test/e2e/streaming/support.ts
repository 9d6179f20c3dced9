// crictl with an input, with a terminal, and left running.
import { type ChildProcess, spawn } from 'node:child_process';
import { crictl } from '../../support/tools/go-tools.ts';
import type { World } from '../support/world.ts';

export interface Ended {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** The command line of crictl for this world. */
export async function crictlArgv(world: World, args: readonly string[]): Promise<[string, ...string[]]> {
  const { endpoint } = world.instance;
  return [
    await crictl(),
    '--config',
    '/dev/null',
    '--runtime-endpoint',
    endpoint,
    '--image-endpoint',
    endpoint,
    '--timeout',
    '300s',
    ...args,
  ];
}

function collected(child: ChildProcess): Promise<Ended> {
  const stdout: Buffer[] = [];
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? -1, stdout: Buffer.concat(stdout), stderr }));
  });
}

/** Runs crictl to its end; without an input its stdin ends at once. */
export async function crictlWith(
  world: World,
  args: readonly string[],
  input: Buffer = Buffer.alloc(0),
): Promise<Ended> {
  const [program, ...rest] = await crictlArgv(world, args);
  const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
  // a command may end before it has read all
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return await collected(child);
}

/** Starts crictl, to be talked with. */
export async function crictlStarted(
  world: World,
  args: readonly string[],
): Promise<{ readonly child: ChildProcess; readonly ended: Promise<Ended>; readonly text: () => string }> {
  const [program, ...rest] = await crictlArgv(world, args);
  const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stdin.on('error', () => undefined);
  return { child, ended: collected(child), text: () => text };
}

/**
 * Runs crictl in a terminal of 111 columns and 33 rows, types the text, and gives what it showed. `script` makes the
 * terminal; its stdin stays open until the end.
 */
export async function inTerminal(world: World, args: readonly string[], typed: string): Promise<string> {
  const argv = await crictlArgv(world, args);
  const quoted = argv.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  const child = spawn('script', ['-qec', `stty rows 33 cols 111; exec ${quoted}`, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => undefined);
  child.stdin.write(typed);
  const { stdout, stderr } = await collected(child);
  return `${stdout.toString()}${stderr}`;
}
