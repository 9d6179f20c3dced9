/** The main thread's side of kernel-worker.ts: sends requests and manages the thread. */
import { closeSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import type { ClockPort } from '../../ports/clock.ts';
import { FaultError, fail, fault } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import type { CgroupLayout, ThreadAnswer, ThreadOrder, ThreadRequest } from './thread-protocol.ts';
import { startThreadWorker } from './thread-worker.ts';
import type { ThreadWorker } from './thread-worker.ts';

/** Set by the launcher, which starts the worker first (src/daemon/launch.ts); undefined when it does not. */
declare const troupeThreadWorker: ThreadWorker | undefined;

export interface Asking {
  /** Beginning of an error message. */
  readonly attempted: string;
  readonly subject: string;
  /** Absent: the caller's own time limit applies. */
  readonly bound?: {
    readonly clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;
    readonly timeoutMs: number;
  };
}

interface WaitingOrder {
  readonly kind: ThreadOrder['kind'];
  /** By `performance.now`. */
  readonly sinceMs: number;
  readonly settle: (answer: ThreadAnswer) => void;
  readonly lost: (reason: string) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<number, WaitingOrder>;
  /** The layouts that this worker has, with their numbers. */
  readonly layouts: Map<CgroupLayout, number>;
}

let thread: Promise<Thread> | undefined;
/** The thread once `thread` has settled. */
let live: Thread | undefined;
let orders = 0;

/**
 * Starts the thread before it is needed: its first answer takes 60 ms, in which the caller can do something
 * else. A failure is not reported here: the first request reports it.
 */
export async function startKernelThread(): Promise<void> {
  await theThread().catch(() => undefined);
}

/** Ends the thread; the next request starts a new one. */
export async function stopKernelThread(): Promise<void> {
  // a thread that failed to start has nothing to end
  const running = await thread?.catch(() => undefined);
  if (running !== undefined) await end(running);
}

/** What the thread has been asked and has not answered, oldest first; undefined when no thread runs. */
export function kernelThreadOrders():
  | readonly { readonly kind: ThreadOrder['kind']; readonly forMs: number }[]
  | undefined {
  const now = performance.now();
  return (
    live &&
    [...live.waiting.values()].map(({ kind, sinceMs }) => ({ kind, forMs: Math.round(now - sinceMs) }))
  );
}

/**
 * Sends a request; requests are handled one after the other. Rejects with the failure, whose `code` is the
 * errno's name where there is one, and with `outside`, retryable, when the thread ended or did not answer
 * within the bound.
 */
export async function askKernelThread(order: ThreadOrder, asking: Asking): Promise<unknown> {
  let answer = await giveOrder(order, asking);
  // requests on host objects can be repeated; a failure in a pod's namespaces does not concern them
  if (answer.id === LOST && !IN_A_POD.has(order.kind)) answer = await giveOrder(order, asking);
  const { failure, code, value } = answer;
  if (failure === undefined) return value;
  throw code === undefined ? new FaultError(failure) : Object.assign(new FaultError(failure), { code });
}

/** Requests for which the thread leaves the host's namespaces. */
const IN_A_POD: ReadonlySet<ThreadOrder['kind']> = new Set<ThreadOrder['kind']>([
  'pin',
  'socket',
  'sysctl',
  'ipv4',
  'netDev',
]);

/** Id of the answer that stands for the thread's end. */
const LOST = 0;

async function giveOrder(order: ThreadOrder, { attempted, subject, bound }: Asking): Promise<ThreadAnswer> {
  const current = await theThread();
  const { worker, waiting, layouts } = current;
  if (waiting.size >= hostLimits.threadOrders) {
    fail(
      'exhausted',
      `${attempted}: ${hostLimits.threadOrders} requests are waiting for the kernel thread already`,
      {
        subject,
      },
    );
  }
  orders += 1;
  const id = orders;
  const answer = await new Promise<ThreadAnswer>((resolve) => {
    const lost = (reason: string): void => {
      const failure = fault('outside', `${attempted}: the kernel thread ${reason}`, {
        subject,
        retryable: true,
      });
      settle({ id: LOST, isLost: true, failure });
    };
    const timer = bound?.clock.setTimeout(
      () => lost(`timed out after ${bound.timeoutMs} ms`),
      bound.timeoutMs,
    );
    const settle = (settled: ThreadAnswer): void => {
      if (timer !== undefined) bound?.clock.clearTimeout(timer);
      waiting.delete(id);
      if (waiting.size === 0) worker.unref();
      resolve(settled);
    };
    waiting.set(id, { kind: order.kind, sinceMs: performance.now(), settle, lost });
    worker.ref();
    worker.postMessage({ id, ...packed(order, layouts) } satisfies ThreadRequest);
  });
  // a thread left in a pod's namespaces would mix up two pods, and one that hangs can't be awaited
  if (answer.isLost) void end(current);
  return answer;
}

/**
 * A layout is sent to each worker once: a copy of ten hierarchies in each request took a fifth of its processor time.
 * Messages arrive in order, so a number that stood for another layout can be given again.
 */
function packed(order: ThreadOrder, layouts: Map<CgroupLayout, number>): Omit<ThreadRequest, 'id'> {
  if (order.kind !== 'cgroup') return { order };
  const { layout } = order;
  const known = layouts.get(layout);
  if (known !== undefined) return { order: { ...order, layout: known } };
  if (layouts.size >= hostLimits.threadLayouts) layouts.clear();
  const number = layouts.size;
  layouts.set(layout, number);
  return { order: { ...order, layout: number }, layout };
}

/** A failed start (such as no free descriptor) is not permanent: the next request tries again. */
function theThread(): Promise<Thread> {
  if (thread !== undefined) return thread;
  const starting = startThread();
  thread = starting;
  starting.catch(() => {
    if (thread === starting) thread = undefined;
  });
  return starting;
}

async function startThread(): Promise<Thread> {
  const early = handed;
  handed = undefined;
  return runThread(early ?? startThreadWorker());
}

let handed = typeof troupeThreadWorker === 'undefined' ? undefined : troupeThreadWorker;

function runThread({ worker, host }: ThreadWorker): Thread {
  const started: Thread = { worker, waiting: new Map(), layouts: new Map() };
  worker.on('message', (answer: ThreadAnswer) => started.waiting.get(answer.id)?.settle(answer));
  worker.on('error', (error: unknown) =>
    leave(started, `failed: ${error instanceof Error ? error.message : String(error)}`),
  );
  worker.once('exit', () => {
    leave(started, 'ended');
    host.forEach(({ fd }) => closeSync(fd));
  });
  worker.unref();
  live = started;
  return started;
}

/** The next request goes to a new thread; those that wait hear of it at once: one that hangs never exits. */
function leave(old: Thread, reason: string): void {
  if (live === old) {
    live = undefined;
    thread = undefined;
  }
  for (const { lost } of [...old.waiting.values()]) lost(reason);
}

async function end(old: Thread): Promise<void> {
  leave(old, 'was given up');
  await old.worker.terminate();
}
