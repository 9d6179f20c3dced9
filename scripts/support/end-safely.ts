// The end of a program of the tests that has a large heap.
import { exitNow } from '../../src/host/process/exit.ts';

/**
 * Makes this process end by `exitNow`, which can't hang, after all other listeners of `exit`: being the first, it calls
 * them itself, also those that are added later.
 */
export function endSafely(): void {
  const end = (code: number): never => {
    for (const listener of process.rawListeners('exit')) if (listener !== end) listener.call(process, code);
    return exitNow(code);
  };
  process.prependListener('exit', end);
}
