// A cgroup layout goes to each worker once, and later requests name it by a number.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { hostLimits } from '../../../../src/host/bounds.ts';
import type { CgroupLayout, ThreadRequest } from '../../../../src/host/kernel-thread/thread-protocol.ts';
import { startThreadWorker } from '../../../../src/host/kernel-thread/thread-worker.ts';
import type { ThreadWorker } from '../../../../src/host/kernel-thread/thread-worker.ts';

let root: string;
let early: ThreadWorker;
let cgroupExists: (layout: CgroupLayout, path: string) => Promise<boolean>;
let stopKernelThread: () => Promise<void>;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'troupe-layouts-'));
  early = startThreadWorker();
  // as the launcher hands it over
  Object.assign(globalThis, { troupeThreadWorker: early });
  vi.resetModules();
  ({ cgroupExists } = await import('../../../../src/host/cgroups/cgroups.ts'));
  ({ stopKernelThread } = await import('../../../../src/host/kernel-thread/kernel-thread.ts'));
});

afterEach(async () => {
  Reflect.deleteProperty(globalThis, 'troupeThreadWorker');
  await stopKernelThread();
  rmSync(root, { recursive: true });
});

/** A plain directory stands for the hierarchy. */
function layoutAt(name: string, cgroups: readonly string[]): CgroupLayout {
  const mountPoint = join(root, name);
  for (const cgroup of cgroups) mkdirSync(join(mountPoint, cgroup), { recursive: true });
  return {
    version: 2,
    hybrid: false,
    controllers: [],
    hierarchies: [{ version: 2, mountPoint, controllers: [] }],
  };
}

it('the second request has no layout', async () => {
  const posted = vi.spyOn(early.worker, 'postMessage');
  const layout = layoutAt('one', ['/pod']);
  expect(await cgroupExists(layout, '/pod')).toBe(true);
  expect(await cgroupExists(layout, '/none')).toBe(false);
  const [first, second] = posted.mock.calls.map(([request]) => request as ThreadRequest);
  expect(first).toMatchObject({ order: { kind: 'cgroup', layout: 0 }, layout });
  expect(second).toMatchObject({ order: { kind: 'cgroup', layout: 0 } });
  expect(second).not.toHaveProperty('layout');
});

it('a worker that replaces a lost one gets the layout again', async () => {
  const layout = layoutAt('one', ['/pod']);
  expect(await cgroupExists(layout, '/pod')).toBe(true);
  // the next request is not answered
  vi.spyOn(early.worker, 'postMessage').mockImplementation(() => undefined);
  const again = cgroupExists(layout, '/pod');
  await early.worker.terminate();
  expect(await again).toBe(true);
  expect(await cgroupExists(layout, '/none')).toBe(false);
});

it('with more layouts than numbers each request still gets the answer for its own', async () => {
  const count = hostLimits.threadLayouts * 2 + 1;
  const layouts = Array.from({ length: count }, (_, at) =>
    layoutAt(String(at), at % 3 === 0 ? ['/pod'] : []),
  );
  const expected = layouts.map((_, at) => at % 3 === 0);
  const ask = async () => Promise.all(layouts.map((layout) => cgroupExists(layout, '/pod')));
  expect(await ask()).toEqual(expected);
  expect(await ask()).toEqual(expected);
});
