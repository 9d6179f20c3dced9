// Lists without a pause, in a process of their own (list-probe.ts).
import { spawn } from 'node:child_process';
import { join } from 'node:path';

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

/** Begins to list; the returned function ends that. @param isKilled whether daemons are killed: calls may fail then */
export function startLists(socket: string, isKilled: boolean): () => Promise<ListFigures> {
  const argv = [join(import.meta.dirname, 'list-probe.ts'), socket, isKilled ? 'killed' : ''];
  const child = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'inherit'] });
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
