// From the exec of a daemon that was killed to its first whole lists in a Go client, while its pods run on.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { criTimer } from '../support/tools/cri-timer.ts';
import type { Instance } from '../support/instance.ts';

/** ms that a daemon lives on after its first lists. */
const LIVES_MS = 500;

export interface Recovered {
  /** From the exec to the lists. */
  readonly ms: number;
  readonly containers: number;
  readonly sandboxes: number;
}

/** Kills the daemon and starts it, `times` times; one that was started here runs at the end of none of them. */
export async function recoveries(instance: Instance, times: number): Promise<Recovered[]> {
  const client = await criTimer();
  await instance.kill();
  const all: Recovered[] = [];
  for (let time = 0; time < times; time += 1) all.push(await recoverOnce(instance, client));
  return all;
}

async function recoverOnce({ argv, socket }: Instance, client: string): Promise<Recovered> {
  const waiter = spawn(client, ['await', socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  let listedAt = 0;
  waiter.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
    listedAt = performance.now();
  });
  const closed = once(waiter, 'close');
  // it watches from now on
  await once(waiter.stdout, 'data');
  const [program, ...args] = argv;
  const startedAt = performance.now();
  const daemon = spawn(program, args, { stdio: 'ignore', cwd: '/' });
  const ended = once(daemon, 'exit');
  await closed;
  // no node's daemon dies with its first answer, and what V8 compiled is kept right after it
  await delay(LIVES_MS);
  daemon.kill('SIGKILL');
  await ended;
  const { containers, sandboxes } = JSON.parse(said.split('\n')[1] ?? '') as Recovered;
  return { ms: listedAt - startedAt, containers, sandboxes };
}
