// A daemon that is traced from the exec of its program on.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { processStat } from '../../../src/host/process/process-identity.ts';
import { until } from '../../support/eventually.ts';
import type { Instance } from '../../support/instance.ts';
import { reachedOrOver, stopAtCall } from '../../support/tracer/tracer.ts';

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
  const pid = instance.pid();
  await until(async () => processStat(pid)?.state === 'T');
  const traced = await stopAtCall(pid, at, side);
  process.kill(pid, 'SIGCONT');
  const reached = await reachedOrOver(traced, started, afterMs);
  if (reached !== undefined) {
    // `started` asks on for a while, and may hear the instance after this one
    await instance.ended();
    return reached;
  }
  await traced.leave();
  await started;
  return undefined;
}
