// Threads of a running process that stand still while the others go on: what a call that hangs does to them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** As Node names the threads of its workers, the kernel thread among them, and libuv those of its pool. */
type ThreadName = 'WorkerThread' | 'libuv-worker';

/**
 * Resolves once they are held. Needs ptrace. The returned function lets them go on.
 * @param which `all`: also those that the process makes in their place
 */
export async function holdThreads(
  pid: number,
  name: ThreadName,
  which: 'present' | 'all' = 'present',
): Promise<() => Promise<void>> {
  const program = join(import.meta.dirname, 'hold-threads.ts');
  const child = spawn(process.execPath, [program, String(pid), name, which], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const held = once(createInterface({ input: child.stdout }), 'line');
  await Promise.race([
    held,
    ended.then(([code]) => {
      throw new Error(`the tracer of ${pid} ended with ${String(code)}`);
    }),
  ]);
  return async () => {
    child.kill('SIGKILL');
    await ended;
  };
}
