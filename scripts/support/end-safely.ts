// The end of a program of the tests that has a large heap.
import { writeSync } from 'node:fs';
import { inspect } from 'node:util';
import { exitNow } from '../../src/host/process/exit.ts';

let isSafe = false;

/**
 * Makes this process end by `exitNow`, which can't hang, after all other listeners of `exit`: being the first, it calls
 * them itself, also those that are added later.
 */
export function endSafely(): void {
  if (isSafe) return;
  isSafe = true;
  // Node prints an error that nobody catches only after the listeners of `exit`
  process.prependListener('uncaughtExceptionMonitor', (error) => writeSync(2, `${inspect(error)}\n`));
  const end = (code: number): never => {
    for (const listener of process.rawListeners('exit')) if (listener !== end) listener.call(process, code);
    // a listener may have set another one
    return exitNow(Number(process.exitCode ?? code));
  };
  process.prependListener('exit', end);
}
