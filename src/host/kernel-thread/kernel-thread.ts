/** The main thread's side of kernel-worker.ts: orders, and the thread's life. */
import { closeSync, openSync, readlinkSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import type { ClockPort } from '../../ports/clock.ts';
import { FaultError, fail, fault } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { PIN_KINDS } from './thread-protocol.ts';
import type { ThreadAnswer, ThreadOrder, ThreadRequest, WorkerStart } from './thread-protocol.ts';

export interface Asking {
  /** Begins the message of a failure. */
  readonly attempted: string;
  readonly subject: string;
  /** Without one the caller's own bound counts. */
  readonly bound?: {
    readonly clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;
    readonly timeoutMs: number;
  };
}

interface Thread {
  readonly worker: Worker;
  readonly waiting: Map<
    number,
    { readonly settle: (answer: ThreadAnswer) => void; readonly lost: (reason: string) => void }
  >;
}

let thread: Promise<Thread> | undefined;
/** What `thread` has become. */
let live: Thread | undefined;
let orders = 0;

/**
 * Starts the thread before it is needed: 60 ms until its first answer, in which the caller can do something else. One that
 * can't be started is no failure here: the first order says so.
 */
export async function startKernelThread(): Promise<void> {
  await theThread().catch(() => undefined);
}

/**
 * Waits until the thread has loaded. A process that exits while the thread loads its native code is aborted by Node
 * ("FATAL ERROR: Error::ThrowAsJavaScriptException") in place of the exit code that was asked for. Never rejects.
 */
export async function kernelThreadLoaded(clock: ClockPort): Promise<void> {
  if (thread === undefined) return;
  const bound = { clock, timeoutMs: hostLimits.threadLoadMs };
  await askKernelThread(
    { kind: 'mountInfo' },
    { attempted: 'wait for the kernel thread', subject: '', bound },
  ).catch(() => undefined);
}

/** Ends the thread; the next order starts a new one. */
export async function stopKernelThread(): Promise<void> {
  // one that could not be started has nothing to end
  const running = await thread?.catch(() => undefined);
  if (running !== undefined) await end(running);
}

/**
 * Has an order carried out; they are taken in turn. Rejects with the failure, which has the errno's name as its `code`
 * where there is one, and with `outside`, retryable, when the thread ended or gave no answer within the bound.
 */
export async function askKernelThread(order: ThreadOrder, asking: Asking): Promise<unknown> {
  let answer = await giveOrder(order, asking);
  // the others can be repeated, and what happened to a pod's namespaces is no matter of theirs
  if (answer.id === LOST && !IN_A_POD.has(order.kind)) answer = await giveOrder(order, asking);
  const { failure, code, value } = answer;
  if (failure === undefined) return value;
  throw code === undefined ? new FaultError(failure) : Object.assign(new FaultError(failure), { code });
}

/** Orders for which the thread leaves the host's namespaces. */
const IN_A_POD: ReadonlySet<ThreadOrder['kind']> = new Set<ThreadOrder['kind']>(['pin', 'socket', 'sysctl']);

/** Id of the answer that a thread's end stands for. */
const LOST = 0;

async function giveOrder(order: ThreadOrder, { attempted, subject, bound }: Asking): Promise<ThreadAnswer> {
  const current = await theThread();
  const { worker, waiting } = current;
  if (waiting.size >= hostLimits.threadOrders) {
    fail('exhausted', `${attempted}: ${hostLimits.threadOrders} orders wait for the kernel thread already`, {
      subject,
    });
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
      () => lost(`gave no answer in ${bound.timeoutMs} ms`),
      bound.timeoutMs,
    );
    const settle = (settled: ThreadAnswer): void => {
      if (timer !== undefined) bound?.clock.clearTimeout(timer);
      waiting.delete(id);
      if (waiting.size === 0) worker.unref();
      resolve(settled);
    };
    waiting.set(id, { settle, lost });
    worker.ref();
    worker.postMessage({ id, order } satisfies ThreadRequest);
  });
  // a thread that is still in a pod's namespaces would mix two pods; one that hangs can't be waited for
  if (answer.isLost) void end(current);
  return answer;
}

/** A start that fails (no descriptor is free) is no fate: the next order tries again. */
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
  // libuv starts all threads of its pool at the first use, in the namespaces of whoever uses it first
  await stat('/');
  const host: WorkerStart['host'][number][] = [];
  try {
    for (const kind of PIN_KINDS) {
      const path = `/proc/self/ns/${kind}`;
      host.push({ kind, fd: openSync(path, 'r'), name: readlinkSync(path) });
    }
    return runThread(host);
  } catch (error) {
    for (const { fd } of host) closeSync(fd);
    throw error;
  }
}

function runThread(host: WorkerStart['host']): Thread {
  const file = import.meta.url.endsWith('.ts') ? '../kernel-worker/kernel-worker.ts' : './kernel-worker.js';
  const worker = new Worker(new URL(file, import.meta.url), {
    workerData: { host } satisfies WorkerStart,
    // Node knows nothing of descriptors that libc opened there, and would warn at each one that is closed
    trackUnmanagedFds: false,
    // it keeps nothing: the least memory that Node's own start needs
    resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 },
  });
  const started: Thread = { worker, waiting: new Map() };
  const ended = (reason: string): void => {
    leave(started);
    for (const { lost } of [...started.waiting.values()]) lost(reason);
  };
  worker.on('message', (answer: ThreadAnswer) => started.waiting.get(answer.id)?.settle(answer));
  worker.on('error', (error: unknown) =>
    ended(`failed: ${error instanceof Error ? error.message : String(error)}`),
  );
  worker.once('exit', () => {
    ended('ended');
    host.forEach(({ fd }) => closeSync(fd));
  });
  worker.unref();
  live = started;
  return started;
}

/** The next order goes to a new one. */
function leave(old: Thread): void {
  if (live !== old) return;
  live = undefined;
  thread = undefined;
}

async function end(old: Thread): Promise<void> {
  leave(old);
  await old.worker.terminate();
}
