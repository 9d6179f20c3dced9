// The launcher starts the worker of the kernel thread before the program is read (src/daemon/launch.ts).
import { readlinkSync } from 'node:fs';
import { afterEach, expect, it, vi } from 'vitest';
import { startThreadWorker } from '../../../src/host/kernel-thread/thread-worker.ts';

afterEach(() => {
  Reflect.deleteProperty(globalThis, 'troupeThreadWorker');
  vi.resetModules();
});

it('the first request goes to the worker that the launcher has started, the next one to a new worker', async () => {
  const early = startThreadWorker();
  Object.assign(globalThis, { troupeThreadWorker: early });
  vi.resetModules();
  const { askKernelThread, stopKernelThread } =
    await import('../../../src/host/kernel-thread/kernel-thread.ts');
  const asking = { attempted: 'read the mounts', subject: '/proc/self/mountinfo' };
  const posted = vi.spyOn(early.worker, 'postMessage');
  expect(await askKernelThread({ kind: 'mountInfo' }, asking)).toContain('/proc');
  expect(posted).toHaveBeenCalledTimes(1);
  const ended = new Promise((resolve) => early.worker.once('exit', resolve));
  await stopKernelThread();
  await ended;
  // its descriptors of the host's namespaces are closed with it
  expect(early.host.filter(({ fd, name }) => linkOf(fd) === name)).toEqual([]);
  expect(await askKernelThread({ kind: 'mountInfo' }, asking)).toContain('/proc');
  expect(posted).toHaveBeenCalledTimes(1);
  await stopKernelThread();
});

function linkOf(fd: number): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}
