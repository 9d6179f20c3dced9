// A daemon that is traced from the exec of its program on.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../support/eventually.ts';
import type { Instance } from '../../support/instance.ts';
import { stopAtCall } from '../../support/tracer/tracer.ts';

/** Where this file is, the next start stops itself before it becomes the daemon. */
const HOLD = 'hold';

/** The option `before` of an instance that `startStoppedAt` may start. */
export const holdable = (directory: string): readonly [string, ...string[]] => [
  'sh',
  '-c',
  'if [ -e "$0" ]; then rm "$0"; kill -STOP $$; fi; exec "$@"',
  join(directory, HOLD),
];

/**
 * Starts the daemon and kills it at a call that changes the world, counted from the exec of its program.
 * @param afterMs ms for which calls after the first answer still count
 * @returns the call; undefined when it has fewer, and then it runs
 */
export async function startStoppedAt(
  instance: Instance,
  at: number,
  side: 'before' | 'after',
  afterMs: number,
): Promise<string | undefined> {
  await writeFile(join(instance.directory, HOLD), '');
  const started = instance.start();
  const over = started.then(
    () => delay(afterMs),
    () => delay(afterMs),
  );
  const pid = instance.pid();
  await until(async () => (await stateOf(pid)) === 'T');
  const traced = await stopAtCall(pid, at, side);
  process.kill(pid, 'SIGCONT');
  const reached = await Promise.race([traced.reached, over.then(() => undefined)]);
  if (reached !== undefined) {
    // `started` asks on for a while, and may hear the instance after this one
    await instance.ended();
    return reached;
  }
  await traced.leave();
  await started;
  return undefined;
}

/** The letter of proc_pid_stat(5). */
async function stateOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
}
