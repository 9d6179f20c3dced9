/** Starts the worker of the kernel thread: by kernel-thread.ts, or by the launcher before it reads the program. */
import { closeSync, openSync, readlinkSync, stat } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { PIN_KINDS } from './thread-protocol.ts';
import type { WorkerStart } from './thread-protocol.ts';

export interface ThreadWorker {
  readonly worker: Worker;
  /** The host's namespaces, as descriptors of this process that are closed when the worker has ended. */
  readonly host: WorkerStart['host'];
}

/** Throws with an errno when descriptors or threads are used up. */
export function startThreadWorker(): ThreadWorker {
  // libuv starts all threads of its pool at first use, in the namespaces of the thread that uses it first
  stat('/', () => undefined);
  const host: WorkerStart['host'][number][] = [];
  try {
    for (const kind of PIN_KINDS) {
      const path = `/proc/self/ns/${kind}`;
      host.push({ kind, fd: openSync(path, 'r'), name: readlinkSync(path) });
    }
    return { worker: newWorker(host), host };
  } catch (error) {
    for (const { fd } of host) closeSync(fd);
    throw error;
  }
}

function newWorker(host: WorkerStart['host']): Worker {
  const file = import.meta.url.endsWith('.ts') ? '../kernel-worker/kernel-worker.ts' : './kernel-worker.js';
  return new Worker(new URL(file, import.meta.url), {
    workerData: { host } satisfies WorkerStart,
    // Node does not track descriptors that libc opened, and would warn at each that is closed
    trackUnmanagedFds: false,
    // the worker keeps no data: the least memory with which Node starts
    resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 },
  });
}
