import { once } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { afterEach, expect, test, vi } from 'vitest';
import { fault } from '../../../../../../src/base/fault.ts';
import { storageLimits } from '../../../../../../src/oci/bounds.ts';
import { RunningJob } from '../../../../../../src/oci/images/store/workers/worker-pool.ts';
import type { FromJob, ToJob } from '../../../../../../src/oci/images/store/workers/worker-protocol.ts';

const job = { kind: 'remove', path: '/nowhere' } as const;
const open: MessagePort[] = [];

/** A job and the worker's end of its channel. */
function pair(): {
  readonly running: RunningJob;
  readonly ended: () => void;
  readonly worker: MessagePort;
  say(message: FromJob): void;
} {
  const { port1, port2 } = new MessageChannel();
  open.push(port1, port2);
  const running = new RunningJob(job);
  const ended = vi.fn();
  running.runOn(port1, { ended, closed: () => running.lose(fault('bug', 'closed without an answer')) });
  return { running, ended, worker: port2, say: (message) => port2.postMessage(message) };
}

afterEach(() => {
  for (const port of open.splice(0)) port.close();
});

test('bytes on the way are bounded: a writer waits for the worker’s credit', async () => {
  const { running, worker, say } = pair();
  const got: number[] = [];
  worker.on('message', (message: ToJob) => {
    if (message.type === 'chunk') got.push(message.bytes.length);
  });
  await running.write(new Uint8Array(storageLimits.windowBytes));
  let passed = false;
  const second = running.write(new Uint8Array(7)).then(() => {
    passed = true;
  });
  await once(worker, 'message');
  expect(passed).toBe(false);
  say({ type: 'credit', bytes: storageLimits.windowBytes });
  await second;
  // less than a batch: it goes when the blob is whole
  running.end();
  while (got.at(-1) !== 7) await once(worker, 'message');
  expect(got).toEqual([
    ...Array.from(
      { length: storageLimits.windowBytes / storageLimits.batchBytes },
      () => storageLimits.batchBytes,
    ),
    7,
  ]);
});

test('the sender keeps its bytes, which are copied, not transferred', async () => {
  const { running, worker } = pair();
  const pool = Buffer.alloc(100, 1);
  await running.write(pool.subarray(10, 20));
  pool.fill(2);
  running.end();
  const [message] = (await once(worker, 'message')) as [ToJob];
  expect(message).toEqual({ type: 'chunk', bytes: new Uint8Array(10).fill(1) });
  expect(pool.length).toBe(100);
});

test('a failure wakes the writer that waits, and later writes do nothing', async () => {
  const { running, say } = pair();
  await running.write(new Uint8Array(storageLimits.windowBytes));
  const waiting = running.write(new Uint8Array(1));
  say({ type: 'failed', fault: fault('outside', 'no tar') });
  await waiting;
  await running.write(new Uint8Array(1));
  await expect(running.result).rejects.toMatchObject({ fault: { kind: 'outside', message: 'no tar' } });
  expect(running.isLost).toBe(false);
  expect(running.failure?.message).toBe('no tar');
});

test('a worker that exits without an answer fails the job', async () => {
  const { running, ended, worker } = pair();
  worker.close();
  await expect(running.result).rejects.toMatchObject({ fault: { kind: 'bug' } });
  expect(running.isLost).toBe(true);
  running.lose(fault('bug', 'again'));
  expect(ended).toHaveBeenCalledOnce();
});

test('an answer that was sent before the channel closed counts', async () => {
  const { running, worker, say } = pair();
  say({
    type: 'done',
    result: { kind: 'remove', removal: { entries: 1, freedBytes: 0, failures: [], failed: 0 } },
  });
  worker.close();
  await expect(running.result).resolves.toEqual({
    kind: 'remove',
    removal: { entries: 1, freedBytes: 0, failures: [], failed: 0 },
  });
});
