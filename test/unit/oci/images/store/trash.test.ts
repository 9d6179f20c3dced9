import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { realClock } from '../../../../../src/host/clock/clock.ts';
import { Trash } from '../../../../../src/oci/images/store/trash.ts';
import type { WorkerPool } from '../../../../../src/oci/images/store/workers/worker-pool.ts';

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'trash-'))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** A trash whose jobs are refused, with what it reports. */
function trash() {
  const start = vi.fn<WorkerPool['start']>(() => {
    throw new Error('no worker in this test');
  });
  const pool: Pick<WorkerPool, 'start'> = { start };
  const report = vi.fn();
  const log = { debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn(), trace: vi.fn() };
  const emptied = new Trash({
    directory,
    pool: pool as WorkerPool,
    gate: (call) => call(),
    newName: () => 'new',
    clock: realClock(),
    log,
    conditions: { report, clear: vi.fn() },
  });
  return { emptied, start, report };
}

test('a trash with nothing in it starts no worker', async () => {
  const { emptied, start, report } = trash();
  await emptied.empty();
  expect(start).not.toHaveBeenCalled();
  expect(report).not.toHaveBeenCalled();
});

test.each([
  ['a file', () => writeFileSync(join(directory, 'file'), '')],
  ['an empty directory', () => mkdirSync(join(directory, 'layer'))],
])('a trash with %s is emptied by a worker', async (_what, fill) => {
  fill();
  const { emptied, start } = trash();
  await emptied.empty();
  expect(start).toHaveBeenCalledWith({ kind: 'empty', directory });
});

test('a worker says why a trash can not be read', async () => {
  rmSync(directory, { recursive: true });
  writeFileSync(directory, 'in the place of the trash');
  const { emptied, start, report } = trash();
  await emptied.empty();
  expect(start).toHaveBeenCalledOnce();
  expect(report).toHaveBeenCalledOnce();
});
