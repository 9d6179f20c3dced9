// The watch of a shim's container, with the shim and the receiver of exits in this process and files of its own.
import { mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ExitFact } from '../../../../../src/ports/journal.ts';
import { silentLog } from '../../../../../src/base/log.ts';
import { createLayout } from '../../../../../src/host/sandbox/layout.ts';
import { noteOf, writeNote } from '../../../../../src/oci/runtime/container/record.ts';
import { ShimExits } from '../../../../../src/oci/runtime/shim/exits.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { CONTAINER_ID, inputOf } from '../spec/fixtures.ts';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'shim-exits-'));
});
afterEach(() => rm(root, { recursive: true }));

/** Through the thread pool, as what is waited for. */
const aTurn = (): Promise<unknown> => readFile(join(root, 'none')).catch(() => undefined);

function stage() {
  const layout = createLayout({ root: join(root, 'r'), state: join(root, 's') });
  const asked: string[] = [];
  const clock = new HandClock(1000);
  let shown: (exit: ExitFact) => void = () => undefined;
  const reported = new Promise<ExitFact>((resolve) => {
    shown = resolve;
  });
  const shim = { callUnlessGone: async () => ({ exitStatus: 3, exitedAt: { seconds: 1n, nanos: 0 } }) };
  const shims = { find: async () => (asked.push('find'), shim) };
  const exits = { report: (_id: unknown, exit: ExitFact) => shown(exit) };
  const watch = new ShimExits({ layout, log: silentLog, clock } as never, shims as never, exits as never);
  return {
    layout,
    watch: () => watch.watch(CONTAINER_ID, { root: join(root, 'r', 'h') } as never),
    asked,
    reported,
    clock,
  };
}

test('an exit is reported although its file cannot be written', async () => {
  const { layout, watch, reported } = stage();
  await writeNote(
    layout,
    CONTAINER_ID,
    noteOf({ ...inputOf(), handler: 'kata', pidNamespaceOf: undefined }, 'kata'),
  );
  // stands in the file's way, as a full disk would
  await mkdir(join(layout.containerDir(CONTAINER_ID), 'exit.new'), { recursive: true });
  watch();
  expect(await reported).toEqual({
    exitCode: 3,
    finishedAtNs: 1_000_000_000n,
    oomKilled: false,
    reason: 'Error',
    message: '',
    observedBy: 'process',
  });
  await expect(readFile(layout.exitFile(CONTAINER_ID))).rejects.toThrow('ENOENT');
});

test('a container without a note is no longer watched; with a new one it can be', async () => {
  const { layout, watch, reported, asked } = stage();
  watch();
  for (let turn = 0; turn < 50; turn += 1) await aTurn();
  expect(asked).toEqual([]);
  await writeNote(
    layout,
    CONTAINER_ID,
    noteOf({ ...inputOf(), handler: 'kata', pidNamespaceOf: undefined }, 'kata'),
  );
  await mkdir(join(layout.containerDir(CONTAINER_ID), 'exit.new'), { recursive: true });
  while (asked.length === 0) {
    watch();
    await aTurn();
  }
  expect((await reported).exitCode).toBe(3);
});

test('F89 an exit is reported once what the watch needs can be read', async () => {
  const { layout, watch, reported, asked, clock } = stage();
  const own = layout.containerDir(CONTAINER_ID);
  await mkdir(own, { recursive: true });
  await symlink('troupe.json', join(own, 'troupe.json'));
  watch();
  for (let turn = 0; turn < 200 && clock.timers.size === 0; turn += 1) await aTurn();
  expect([asked, clock.timers.size]).toEqual([[], 1]);
  await rm(join(own, 'troupe.json'));
  await writeNote(
    layout,
    CONTAINER_ID,
    noteOf({ ...inputOf(), handler: 'kata', pidNamespaceOf: undefined }, 'kata'),
  );
  await mkdir(join(own, 'exit.new'));
  clock.fire();
  expect((await reported).exitCode).toBe(3);
});
