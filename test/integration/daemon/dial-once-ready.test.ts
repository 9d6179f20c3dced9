// `troupe upgrade` asks a daemon that recovers once that listens (F92): a package that took it for none would restart
// the service.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { defaultConfig } from '../../../src/daemon/config/config-schema.ts';
import { listenForControl } from '../../../src/daemon/takeover/control.ts';
import { dialOnceReady } from '../../../src/daemon/takeover/dial-once-ready.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { lockDirectory } from '../../../src/host/files/directory-lock.ts';
import { EVENT_MS } from '../../support/patience.ts';

const clock = realClock();

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-dial-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  for (const name of ['root', 'state']) mkdirSync(join(directory, name));
});

const listens = async (): Promise<void> => {
  const control = await listenForControl({
    path: join(directory, 'state/take-over.sock'),
    clock,
    log: silentLog,
    onHello: async (link) => link.close(),
    onFollow: async (link) => link.close(),
    onUpgrade: async (link) => link.close(),
  });
  onTestFinished(() => control.close());
};

function dial(waitMs: number) {
  const waitedFor: number[] = [];
  const place = { ...defaultConfig, root: join(directory, 'root'), state: join(directory, 'state') };
  const link = dialOnceReady(place, { clock, waitMs, pollMs: 10, onWait: (pid) => void waitedFor.push(pid) });
  return { link, waitedFor };
}

test('F92 no daemon runs: nobody is waited for', async () => {
  const { link, waitedFor } = dial(EVENT_MS);
  expect([await link, waitedFor]).toEqual([undefined, []]);
});

test('F92 a daemon that has the lock is waited for until it listens', async () => {
  const lock = await lockDirectory(join(directory, 'root'));
  onTestFinished(() => lock.release());
  const { link, waitedFor } = dial(EVENT_MS);
  await expect.poll(() => waitedFor).toEqual([process.pid]);
  await listens();
  const found = await link;
  expect(found).toBeDefined();
  found?.close();
});

test('F92 one that never listens is given up after the bound', async () => {
  const lock = await lockDirectory(join(directory, 'root'));
  onTestFinished(() => lock.release());
  expect(await dial(1).link).toBeUndefined();
});
