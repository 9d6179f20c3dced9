import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemdLimits } from '../../../../src/host/bounds.ts';
import { untilScopeRemoved } from '../../../../src/host/cgroups/systemd.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { until } from '../../../support/eventually.ts';

const scope = '/a.slice/troupe-pause-1.scope';
let mountPoint = '';
let clock: HandClock;
let isOver = false;

// a plain directory stands for the hierarchy: on a real one systemd would have to know the scope
beforeEach(() => {
  mountPoint = mkdtempSync(join(tmpdir(), 'troupe-scope-'));
  mkdirSync(join(mountPoint, scope), { recursive: true });
  clock = new HandClock();
  isOver = false;
});
afterEach(() => rmSync(mountPoint, { recursive: true }));

const start = (version: 1 | 2, signal?: AbortSignal, cgroup = scope): Promise<void> =>
  untilScopeRemoved(
    { clock, timeoutMs: 60_000, ...(signal === undefined ? {} : { signal }) },
    {
      version,
      hybrid: false,
      controllers: [],
      hierarchies: [{ version, mountPoint, controllers: ['memory'] }],
    },
    cgroup,
  ).finally(() => {
    isOver = true;
  });

/** The next check has been made and the pause after it has begun. */
const untilPaused = async (): Promise<void> => {
  await until(() => clock.timers.size > 0);
};

test('the cgroup of a scope stays until systemd has removed it', async () => {
  const wait = start(2);
  for (let poll = 0; poll < 3; poll += 1) {
    await untilPaused();
    expect(isOver).toBe(false);
    clock.fire();
  }
  await untilPaused();
  rmdirSync(join(mountPoint, scope));
  clock.fire();
  await wait;
});

test('a scope that systemd leaves is waited for no longer than the bound', async () => {
  const wait = start(2);
  await untilPaused();
  clock.pass(systemdLimits.removeMs);
  await wait;
  expect(clock.nowMs).toBe(systemdLimits.removeMs);
});

test('an aborted wait ends at once', async () => {
  const abort = new AbortController();
  const wait = start(2, abort.signal);
  await untilPaused();
  abort.abort();
  await expect(wait).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
});

test('on cgroup v1 systemd does not depend on the cgroup, and nothing is awaited', async () => {
  await start(1);
  expect(clock.timers.size).toBe(0);
});

test('a cgroup that is no scope is nothing of systemd, and is not awaited', async () => {
  mkdirSync(join(mountPoint, 'pods'));
  await start(2, undefined, '/pods');
  expect(clock.timers.size).toBe(0);
});
