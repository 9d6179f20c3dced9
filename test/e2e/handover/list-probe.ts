// A process of its own that lists all the time: over one connection, and over a new one each time. Prints what it
// found as JSON once its input ends. Its own process with priority, so that the load does not hold it up: how long a
// list takes is a question about the daemon.
import { readdirSync } from 'node:fs';
import { setPriority } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { criClient, type CriClient } from '../../../scripts/support/cri-client.ts';
import { priorityLimits } from '../../../src/host/bounds.ts';
import { NOTED_MS, type ListedCalls, type ListFigures } from './lists.ts';

/** ms between two lists over the same connection, and between two new connections. */
const CONNECTED_MS = 5;
const ANEW_MS = 15;

const socket = process.argv[2] ?? '';
const mayFail = process.argv[3] === 'killed';
try {
  // as the daemon's main thread and those it waits for
  for (const tid of readdirSync('/proc/self/task')) setPriority(Number(tid), priorityLimits.mainNice);
} catch {
  // then it waits with the load: `stallMs` shows that
}
let isOver = false;
process.stdin.once('end', () => (isOver = true)).resume();

let stallMs = 0;
const [connected, anew] = await Promise.all([keepListing(), listAnew(), watchSelf()]);
const figures: ListFigures = { connected, anew, stallMs };
process.stdout.write(JSON.stringify(figures));

async function keepListing(): Promise<ListedCalls> {
  const client = criClient(socket, false);
  const calls = newCalls();
  while (!isOver) {
    await listed(calls, client, calls.count);
    await delay(CONNECTED_MS);
  }
  client.close();
  return calls;
}

async function listAnew(): Promise<ListedCalls> {
  const calls = newCalls();
  while (!isOver) {
    const client = criClient(socket, false);
    await listed(calls, client, calls.count);
    client.close();
    await delay(ANEW_MS);
  }
  return calls;
}

/** The longest time in which this process did not run: what it measures is too long by as much. */
async function watchSelf(): Promise<void> {
  while (!isOver) {
    const beganAt = performance.now();
    await delay(1);
    stallMs = Math.max(stallMs, performance.now() - beganAt - 1);
  }
}

function newCalls(): ListedCalls {
  return { count: 0, long: [], failed: [] };
}

async function listed(calls: ListedCalls, { runtime }: CriClient, turn: number): Promise<void> {
  const atMs = Date.now();
  const beganAt = performance.now();
  try {
    if (turn % 2 === 0) await runtime.listContainers({});
    else await runtime.listPodSandbox({});
  } catch (error) {
    if (!mayFail) calls.failed.push(String(error));
  }
  const ms = performance.now() - beganAt;
  calls.count += 1;
  if (ms > NOTED_MS) calls.long.push({ atMs, ms });
}
