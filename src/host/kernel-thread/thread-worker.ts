/** Starts the worker of the kernel thread: by kernel-thread.ts, or by the launcher before it reads the program. */
import { closeSync, openSync, readlinkSync, stat } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { programFiles, startWorker } from '../program/program-files.ts';
import { PIN_KINDS } from './thread-protocol.ts';
import type { WorkerStart } from './thread-protocol.ts';

export interface ThreadWorker {
  readonly worker: Worker;
  /** The host's namespaces, as descriptors of this process that are closed when the worker has ended. */
  readonly host: WorkerStart['host'];
}

/**
 * Throws with an errno when descriptors or threads are used up.
 * @param files the program's, where the launcher calls
 */
export function startThreadWorker(files = programFiles()): ThreadWorker {
  // libuv starts all threads of its pool at first use, in the namespaces of the thread that uses it first
  stat('/', () => undefined);
  const host: WorkerStart['host'][number][] = [];
  try {
    for (const kind of PIN_KINDS) {
      const path = `/proc/self/ns/${kind}`;
      host.push({ kind, fd: openSync(path, 'r'), name: readlinkSync(path) });
    }
    return { worker: newWorker(host, files), host };
  } catch (error) {
    for (const { fd } of host) closeSync(fd);
    throw error;
  }
}

function newWorker(host: WorkerStart['host'], files: ReturnType<typeof programFiles>): Worker {
  const source = new URL('../kernel-worker/kernel-worker.ts', import.meta.url);
  const options = {
    workerData: { host } satisfies WorkerStart,
    // Node does not track descriptors that libc opened, and would warn at each that is closed
    trackUnmanagedFds: false,
    // the worker keeps no data: the least memory with which Node starts
    resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 },
  };
  return startWorker('kernel-worker.js', source, options, files);
}
