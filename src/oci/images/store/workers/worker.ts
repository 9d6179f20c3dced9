/**
 * The program of a storage worker: unpacks, deletes and measures with synchronous system calls, which the main thread
 * must not make. It works only on what its jobs name, and exits on request.
 */
import { statfsSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { fail, fault, toFault } from '../../../../base/fault.ts';
import { storageLimits } from '../../../bounds.ts';
import { realClock } from '../../../../host/clock/clock.ts';
import { SpaceGuard } from '../../../../host/files/free-space.ts';
import { pause } from '../../../../host/clock/wait.ts';
import { takeLowestPriority } from '../../../../host/tuning/lowest-priority.ts';
import { flattenLayers } from '../drivers/flatten.ts';
import { removePathInSteps } from '../../../trees/remove-tree.ts';
import { emptyDirectory } from '../../../trees/tree-empty.ts';
import { measureEach } from '../../../trees/tree-measure.ts';
import { LayerUnpack } from './unpack-job.ts';
import type {
  FlattenJob,
  FromJob,
  WorkerJob,
  JobResult,
  ToJob,
  ToWorker,
  UnpackJob,
} from './worker-protocol.ts';

const clock = realClock();

/** One guard per root for all jobs of this thread, since they fill the same disk. */
const spaces = new Map<string, SpaceGuard>();

function spaceOf(root: string): SpaceGuard {
  const space = spaces.get(root) ?? new SpaceGuard(root, () => statfsSync(root));
  spaces.set(root, space);
  return space;
}

/** Runs the steps of one job in order. An error or a cancellation ends it. */
class UnpackSession {
  readonly #port: MessagePort;
  readonly #job: UnpackJob;
  #unpack: LayerUnpack | undefined;
  #queue: Promise<void> = Promise.resolve();
  #isOver = false;
  #isCancelled = false;

  constructor(job: UnpackJob, port: MessagePort) {
    this.#job = job;
    this.#port = port;
    this.#then(async () => {
      this.#unpack = new LayerUnpack(job, spaceOf(job.root));
    });
    port.on('message', (message: ToJob) => {
      this.#take(message);
    });
  }

  #take(message: ToJob): void {
    if (message.type === 'cancel') {
      // checked before each step, so that it takes effect before the steps in the queue
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
    this.#queue = this.#queue.then(async () => {
      if (this.#isOver) return;
      try {
        if (this.#isCancelled)
          fail('cancelled', `unpack layer ${this.#job.diffId}: no longer wanted`, {
            subject: this.#job.diffId,
          });
        await step();
      } catch (error) {
        this.#failed(error);
      }
    });
  }

  #failed(error: unknown): void {
    let reason = toFault(
      error,
      error instanceof Error && 'fault' in error ? '' : `unpack layer ${this.#job.diffId}`,
    );
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

type StepJob = Exclude<WorkerJob, UnpackJob | FlattenJob>;

/** Runs a job in slices. Between them, other jobs of this thread run and a cancellation takes effect. */
async function runInSteps(job: StepJob, port: MessagePort): Promise<void> {
  let isCancelled = false;
  port.on('message', (message: ToJob) => {
    if (message.type === 'cancel') isCancelled = true;
  });
  const steps = stepsOf(job);
  try {
    for (;;) {
      const begunMs = clock.monoMs();
      const step = sliceOf(steps, begunMs);
      if (step !== undefined) {
        answer(port, { type: 'done', result: step });
        return;
      }
      if (isCancelled) fail('cancelled', `${job.kind} ${subjectOf(job)}: no longer wanted`);
      // a deletion pauses as long as it has worked, up to one slice
      await pause(
        clock,
        job.kind === 'measure' ? 0 : Math.min(storageLimits.sliceMs, clock.monoMs() - begunMs),
      );
    }
  } catch (error) {
    answer(port, { type: 'failed', fault: toFault(error, `${job.kind} ${subjectOf(job)}`) });
  } finally {
    // closes open descriptors
    steps.return(undefined as never);
  }
}

/** Runs one slice. Returns the result, or undefined if the job is not done. */
function sliceOf(steps: Generator<void, JobResult>, begunMs: number): JobResult | undefined {
  do {
    const step = steps.next();
    if (step.done === true) return step.value;
  } while (clock.monoMs() - begunMs < storageLimits.sliceMs);
  return undefined;
}

function* stepsOf(job: StepJob): Generator<void, JobResult> {
  if (job.kind === 'measure')
    return { kind: 'measure', sizes: yield* measureEach(job.paths, storageLimits.measuredEntries) };
  if (job.kind === 'empty') return { kind: 'empty', ...(yield* emptyDirectory(job.directory)) };
  const { error: _error, ...removal } = yield* removePathInSteps(job.path);
  return { kind: 'remove', removal };
}

function subjectOf(job: StepJob): string {
  if (job.kind === 'measure') return job.paths.length === 1 ? (job.paths[0] ?? '') : 'trees';
  return job.kind === 'empty' ? job.directory : job.path;
}

function flatten(job: FlattenJob, port: MessagePort): void {
  try {
    if (job.isAgain === true) for (const _pause of emptyDirectory(job.target)) continue;
    // a guard per job, since each target is a directory of its own
    flattenLayers(job, new SpaceGuard(job.target, () => statfsSync(job.target)));
    answer(port, { type: 'done', result: { kind: 'flatten' } });
  } catch (error) {
    answer(port, { type: 'failed', fault: toFault(error, `flatten ${job.target}`) });
  }
}

function answer(port: MessagePort, message: FromJob): void {
  port.postMessage(message);
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
    else if (message.job.kind === 'flatten') flatten(message.job, port);
    else void runInSteps(message.job, port);
  });
}

if (parentPort === null)
  throw new Error(fault('bug', 'storage worker: not started as a worker thread').message);
// pods that start do not wait for layers that are unpacked
takeLowestPriority();
serve(parentPort);
