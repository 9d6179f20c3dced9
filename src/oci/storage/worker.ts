/**
 * A storage worker: unpacks, deletes and measures with synchronous system calls, away from the main thread (house
 * rule 6). It reads nothing of the process but what a job says, and ends when it is told to.
 */
import { parentPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { fail, fault, toFault } from '../../base/fault.ts';
import { flattenLayers } from './drivers/flatten.ts';
import { LayerUnpack, removePath } from './unpack-job.ts';
import { measureTrees } from './tree.ts';
import type { FromJob, Job, ToJob, ToWorker, UnpackJob } from './worker-protocol.ts';

/** Steps of one job, one after the other; errors and a cancel end it. */
class UnpackSession {
  readonly #port: MessagePort;
  readonly #job: UnpackJob;
  #unpack: LayerUnpack | undefined;
  #line: Promise<void> = Promise.resolve();
  #isOver = false;
  #isCancelled = false;

  constructor(job: UnpackJob, port: MessagePort) {
    this.#job = job;
    this.#port = port;
    this.#then(async () => {
      this.#unpack = new LayerUnpack(job);
    });
    port.on('message', (message: ToJob) => {
      this.#take(message);
    });
  }

  #take(message: ToJob): void {
    if (message.type === 'cancel') {
      // noticed by the next step, so that it overtakes what waits in line
      this.#isCancelled = true;
      this.#then(async () => undefined);
    } else if (message.type === 'end') {
      this.#then(async () => {
        const record = await this.#unpack?.commit();
        if (record !== undefined) this.#finish({ type: 'done', result: { kind: 'unpack', record } });
      });
    } else {
      const { bytes } = message;
      this.#then(async () => {
        await this.#unpack?.write(bytes);
        this.#say({ type: 'credit', bytes: bytes.length });
      });
    }
  }

  #then(step: () => Promise<void>): void {
    this.#line = this.#line.then(async () => {
      if (this.#isOver) return;
      try {
        if (this.#isCancelled) fail('cancelled', `unpack layer ${this.#job.diffId}: no longer wanted`, { subject: this.#job.diffId });
        await step();
      } catch (error) {
        this.#failed(error);
      }
    });
  }

  #failed(error: unknown): void {
    let reason = toFault(error, error instanceof Error && 'fault' in error ? '' : `unpack layer ${this.#job.diffId}`);
    try {
      this.#unpack?.abandon();
    } catch (second) {
      reason = { ...reason, cause: toFault(second, 'and delete what was written') };
    }
    this.#finish({ type: 'failed', fault: reason });
  }

  #finish(message: FromJob): void {
    this.#isOver = true;
    this.#say(message);
    this.#port.close();
  }

  #say(message: FromJob): void {
    this.#port.postMessage(message);
  }
}

function runAtOnce(job: Exclude<Job, UnpackJob>, port: MessagePort): void {
  let answer: FromJob;
  try {
    if (job.kind === 'measure') {
      answer = { type: 'done', result: { kind: 'measure', size: measureTrees(job.paths) } };
    } else if (job.kind === 'flatten') {
      flattenLayers(job);
      answer = { type: 'done', result: { kind: 'flatten' } };
    } else {
      for (const path of job.paths) removePath(path);
      answer = { type: 'done', result: { kind: 'remove' } };
    }
  } catch (error) {
    const paths = job.kind === 'flatten' ? [job.target] : job.paths;
    answer = { type: 'failed', fault: toFault(error, `${job.kind} ${paths.length === 1 ? (paths[0] ?? '') : 'trees'}`) };
  }
  port.postMessage(answer);
  port.close();
}

function serve(main: MessagePort): void {
  main.on('message', (message: ToWorker) => {
    if (message.type === 'exit') {
      main.close();
      return;
    }
    const port = message.port;
    if (message.job.kind === 'unpack') new UnpackSession(message.job, port);
    else runAtOnce(message.job, port);
  });
}

if (parentPort === null) throw new Error(fault('bug', 'storage worker: not started as a worker thread').message);
serve(parentPort);
