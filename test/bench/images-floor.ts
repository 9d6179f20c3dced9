// The floor of a pull: the time in which two threads, one for each core, inflate the layers and write their files and
// links to the same disk, the final sync included. The blobs are in memory; owners, modes and times are not set, and
// nothing is verified. Measured once with the two digests of each layer, which a pull has to compute, and once without.
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { FloorLayer } from './images-content.ts';
import type { BenchDisk } from './images-disk.ts';
import type { FloorJob } from './images-floor-worker.ts';
import { type Cost, dropCaches, syncOf } from './images-sides.ts';

/** The machine of the figures has two cores. */
const THREADS = 2;

/** Inflates and writes all layers, the largest first, each thread one at a time. */
export async function writeFloor(
  disk: BenchDisk,
  layers: readonly FloorLayer[],
  hasDigests: boolean,
): Promise<Cost> {
  const root = await mkdtemp(join(tmpdir(), 'troupe-bench-floor-'));
  await disk.mount(root);
  const workers = await startWorkers();
  try {
    const jobs = layers
      .toSorted((one, other) => other.blob.byteLength - one.blob.byteLength)
      .map((layer, at) => ({ ...layer, directory: join(root, String(at)), hasDigests }));
    for (const { directory } of jobs) await mkdir(directory);
    await dropCaches();
    const before = process.cpuUsage();
    const startedAt = performance.now();
    await Promise.all(workers.map((worker) => work(worker, jobs)));
    // microseconds
    const { user, system } = process.cpuUsage(before);
    await syncOf(root);
    const cpu = { user: user / 1000, system: system / 1000 };
    return { seconds: (performance.now() - startedAt) / 1000, cpu };
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
    await disk.unmount(root);
    await rm(root, { recursive: true, force: true });
  }
}

/** The threads, once they run: their start does not count. */
async function startWorkers(): Promise<Worker[]> {
  const url = new URL('./images-floor-worker.ts', import.meta.url);
  const workers = Array.from({ length: THREADS }, () => new Worker(url));
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  return workers;
}

/** Gives the thread one job after another until the last. */
async function work(worker: Worker, jobs: FloorJob[]): Promise<void> {
  for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
    const done = once(worker, 'message');
    worker.postMessage(job);
    await done;
  }
}
