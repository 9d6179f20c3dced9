// Kills a running process at one of its system calls: before it, or after it and before its result is used;
// or holds it there. See kill-at-call.ts for how.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

export type Side = 'before' | 'after' | 'hold';

export interface Traced {
  /** The calls that changed the world since the tracer was attached, in order, without the fatal one. */
  readonly calls: readonly string[];
  /** The call at which the process was killed or is held; never resolves when it does not get there. */
  readonly reached: Promise<string>;
  /** Leaves the process alone; it goes on if it lives. */
  readonly leave: () => Promise<void>;
}

/**
 * Attaches to a process. Resolves once each of its calls is seen. Needs ptrace.
 * @param at number of the call, from 1; 0 stops it never
 */
export async function stopAtCall(pid: number, at: number, side: Side): Promise<Traced> {
  const program = join(import.meta.dirname, 'kill-at-call.ts');
  const child = spawn(process.execPath, [program, String(pid), String(at), side], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const calls: string[] = [];
  const attached = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<string>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line === 'attached') attached.resolve();
    else if (line.startsWith('reached ')) reached.resolve(line.slice('reached '.length));
    else calls.push(line);
  });
  void ended.then(([code]) => attached.reject(new Error(`the tracer of ${pid} ended with ${String(code)}`)));
  await attached.promise;
  return {
    calls,
    reached: reached.promise,
    leave: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/**
 * The call at which the process was stopped; undefined when it was not for that long after `over` has ended, one way or
 * the other. The tracer kills before it says so, and a client may hear of the death first.
 */
export async function reachedOrOver(
  { reached }: Traced,
  over: Promise<unknown>,
  afterMs: number,
): Promise<string | undefined> {
  const late = over.then(
    () => delay(afterMs),
    () => delay(afterMs),
  );
  return await Promise.race([reached, late.then(() => undefined)]);
}
