// One program of a step, with its output on ours or in a file.
import { spawn } from 'node:child_process';
import { STEP_MS, hangs } from '../../test/support/patience.ts';
import { checkout } from './checkout.ts';

export interface Ended {
  /** Exit code; -1 when a signal ended it. */
  readonly code: number;
  /** Why it was killed, when it was. */
  readonly hang: string | undefined;
}

/** Where a program's output goes: on ours, or into the file of this descriptor. */
export type Output = 'inherit' | number;

/** What runs the limit; a test brings its own. */
interface Timers {
  setTimeout(fn: () => void, ms: number): object | number;
  clearTimeout(handle: object | number): void;
}

const ownTimers: Timers = {
  setTimeout: (fn, ms) => setTimeout(fn, ms),
  clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout),
};

/** Options of the caller's Node would change what the tests run on. */
function environment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...env } = process.env;
  if (process.stdout.isTTY) return env;
  const { FORCE_COLOR: __, ...plain } = env;
  return { ...plain, NO_COLOR: '1' };
}

/**
 * Runs a program to its end, however long it takes. It is killed, with all that it started, when it has reported no
 * progress for `stillMs`: a message on its channel to this process, as the reporter of the tests sends with each test
 * that has ended. A program that reports nothing has that time in all.
 */
export async function runShown(
  argv: readonly string[],
  stillMs = STEP_MS,
  timers: Timers = ownTimers,
  output: Output = 'inherit',
): Promise<Ended> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, {
    cwd: checkout,
    env: environment(),
    stdio: ['ignore', output, output, 'ipc'],
    detached: true,
  });
  const signalAll = (signal: NodeJS.Signals): void => {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  };
  const forward = (signal: NodeJS.Signals): void => {
    signalAll(signal);
    process.exitCode = 130;
  };
  process.once('SIGINT', forward);
  process.once('SIGTERM', forward);
  let hang: string | undefined;
  const limit = (): object | number =>
    timers.setTimeout(() => {
      hang = hangs(argv.join(' '), stillMs, 'progress');
      signalAll('SIGKILL');
    }, stillMs);
  let timer = limit();
  child.on('message', () => {
    timers.clearTimeout(timer);
    timer = limit();
  });
  try {
    return await new Promise<Ended>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => resolve({ code: code ?? -1, hang }));
    });
  } finally {
    timers.clearTimeout(timer);
    process.off('SIGINT', forward);
    process.off('SIGTERM', forward);
  }
}
