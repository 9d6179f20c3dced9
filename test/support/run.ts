import { spawn } from 'node:child_process';
import { PROGRAM_MS } from './patience.ts';

/** What a program left behind when it ended. `signal` is set when it was killed, `code` is then -1. */
export interface Ended {
  readonly code: number;
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  /** Added to the environment of the caller; `undefined` takes a variable out. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly stdin?: string;
  /** Milliseconds until the program and its process group get SIGKILL. */
  readonly timeoutMs?: number;
  /** Hands each chunk on while the program runs. */
  readonly onOutput?: (chunk: string) => void;
}

/**
 * Bytes kept per stream; a test tool that prints more is cut at the front, since the reason of a failure comes last.
 */
const KEPT_BYTES = 16 * 1024 * 1024;

/**
 * Runs one program to its end, without a shell.
 * @param argv program and arguments
 * @returns how it ended; only a program that can't be started at all throws
 */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const [program, ...args] = argv;
  if (program === undefined) throw new Error('run of an empty argument list');
  const timeoutMs = options.timeoutMs ?? PROGRAM_MS;
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    // A group of its own, so that the timeout reaches what the program started.
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const kept = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8');
    child[name].on('data', (chunk: string) => {
      kept[name] = (kept[name] + chunk).slice(-KEPT_BYTES);
      options.onOutput?.(chunk);
    });
  }
  // A program that ends without reading its input must not end us.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.stdin ?? '');

  return await new Promise<Ended>((resolve, reject) => {
    const killGroup = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended in the meantime.
      }
    };
    const timer = setTimeout(() => {
      kept.stderr += `\n[killed: ${program} did not end within ${timeoutMs} ms]\n`;
      killGroup();
    }, timeoutMs);
    // Its group gets no signal of our terminal; it must not outlive us.
    process.once('exit', killGroup);
    const settle = (): void => {
      clearTimeout(timer);
      process.off('exit', killGroup);
    };
    child.on('error', (error) => {
      settle();
      reject(new Error(`run of ${program} failed: ${error.message}`));
    });
    child.on('close', (code, signal) => {
      settle();
      resolve({ code: code ?? -1, signal: signal ?? undefined, ...kept });
    });
  });
}

/** Like `run`, but an end other than 0 throws with the program's own words. Answers its stdout. */
export async function runOrThrow(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const ended = await run(argv, options);
  if (ended.code !== 0) {
    const how = ended.signal === undefined ? `exit code ${ended.code}` : `signal ${ended.signal}`;
    throw new Error(
      `${argv.join(' ')} ended with ${how}: ${(ended.stderr || ended.stdout).slice(-4000).trim()}`,
    );
  }
  return ended.stdout;
}
