// Lists again and again, by a client in Go (test/support/go/cri-timer), as the kubelet is one.
import { spawn, spawnSync } from 'node:child_process';
import { priorityLimits } from '../../../src/host/bounds.ts';
import { criTimer } from '../../support/tools/cri-timer.ts';

/** ms of a list that is noted with its moment. */
export const NOTED_MS = 60;

export interface ListedCalls {
  count: number;
  /** Moment, epoch ms, and ms of each call that took long. */
  readonly long: { readonly atMs: number; readonly ms: number }[];
  readonly failed: string[];
}

export interface ListFigures {
  /** By one client that stays connected as long as the daemons let it. */
  readonly connected: ListedCalls;
  /** By a client of its own for each call. */
  readonly anew: ListedCalls;
  /** The longest time in which the measuring process itself did not run. */
  readonly stallMs: number;
}

/** With the kernel's real-time class, where a process may have it: else the load of this machine is measured too. */
const REAL_TIME = ['/usr/bin/chrt', '--fifo', '1'];
const PREFERRED = ['/usr/bin/nice', '-n', String(priorityLimits.mainNice)];

/**
 * Begins to list; the returned function ends that. The process goes before all others, so that the load does not hold
 * it up: how long a list takes is a question about the daemon.
 * @param isKilled whether daemons are killed: calls may fail then
 * @param before words before its command
 */
export async function startLists(
  socket: string,
  isKilled: boolean,
  before: readonly string[] = [],
): Promise<() => Promise<ListFigures>> {
  const timer = [await criTimer(), 'lists', socket, isKilled ? 'killed' : 'served', String(NOTED_MS)];
  const [tried, ...words] = [...before, ...REAL_TIME, '/bin/true'];
  const first = spawnSync(tried, words).status === 0 ? REAL_TIME : PREFERRED;
  const [program = '', ...argv] = [...before, ...first, ...timer];
  const child = spawn(program, argv, { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const ended = new Promise<number>((resolve) => void child.once('close', (code) => resolve(code ?? -1)));
  return async () => {
    child.stdin.end();
    const code = await ended;
    if (code !== 0) throw new Error(`the process that lists ended with ${code}`);
    return JSON.parse(text) as ListFigures;
  };
}
