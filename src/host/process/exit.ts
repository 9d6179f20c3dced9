/** The end of this process. */
import { processCalls } from '../ffi/processes.ts';

const lastActs = new Set<() => void>();

/**
 * Has `act` called before `exitNow` ends the process, such as to restore a terminal. It must not throw. Returns a
 * function that takes it back.
 */
export function beforeExit(act: () => void): () => void {
  lastActs.add(act);
  return () => void lastActs.delete(act);
}

/**
 * Ends the process with _exit(2). `process.exit`, and an event loop that has nothing left, first wait for V8's threads:
 * one that compiles may wait for a garbage collection, which the main thread no longer makes, and the process hangs
 * (nodejs/node#54918; one in 40 processes whose heap grew). Output that a pipe has not taken yet is lost: see
 * `allWritten`. Listeners of `exit` are not called; as their last one this function ends any process safely.
 */
export function exitNow(code: number): never {
  for (const act of lastActs) act();
  try {
    processCalls.exit(code);
  } catch {
    // a libc without the call: the self-check has said so
  }
  return process.exit(code);
}

/**
 * Resolves once the streams have passed on, or failed to pass on, all that was written to them: a pipe whose reader is
 * slow takes no more for a while. It has no bound: a daemon that ends waits no longer than `hostLimits.lastWordsMs`.
 */
export async function allWritten(streams: readonly NodeJS.WriteStream[]): Promise<void> {
  await Promise.all(
    streams
      .filter(({ writableLength }) => writableLength > 0)
      .map(
        (stream) =>
          new Promise<void>((resolve) => {
            stream.on('error', () => resolve());
            stream.write('', () => resolve());
          }),
      ),
  );
}
