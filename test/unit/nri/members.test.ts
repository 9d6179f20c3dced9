// Plugins that are started by us, from a directory or a program that does not answer: a dead NFS mount, for example.
import { Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { nriLimits } from '../../../src/nri/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import { killProcess } from '../../../src/host/process/process-identity.ts';
import { spawnProcess } from '../../../src/host/process/process.ts';
import { Members } from '../../../src/nri/members.ts';
import type { PluginFiles } from '../../../src/nri/members.ts';
import type { LaunchedPlugin } from '../../../src/nri/directory.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { FakePlugin } from './fake-plugin.ts';

const plugin = { name: 'late', index: '10', path: '/proc/self/exe', config: '' };

function bench(files: PluginFiles) {
  const clock = new HandClock();
  const reported: string[] = [];
  let listening = 0;
  const members = new Members({
    clock,
    log: silentLog,
    socket: '/nowhere/nri.sock',
    pluginDirectory: '/proc/self',
    configDirectory: '/proc/self',
    files,
    registrationMs: nriLimits.registrationMs,
    requestMs: nriLimits.requestMs,
    runtime: { name: 'troupe', version: '1' },
    onUpdate: () => Promise.resolve({ failed: [] }),
    onNotStarted: (what, reason) => reported.push(`${what}: ${reason}`),
    join: (_plugin, admit) => Promise.resolve(admit()),
    listen: () => {
      listening += 1;
      return Promise.resolve({ close: () => Promise.resolve() });
    },
  });
  const waitsFor = (count: number): Promise<void> => expect.poll(() => clock.timers.size).toBe(count);
  return { clock, members, reported, waitsFor, listening: () => listening };
}

test('F89 a hanging plugin directory delays pods no longer than its bound, and the socket is open then', async () => {
  const { clock, members, reported, waitsFor, listening } = bench({
    find: () => new Promise(() => undefined),
    launch: () => new Promise(() => undefined),
  });
  const starting = members.start();
  await waitsFor(2);
  await clock.advance(nriLimits.directoryMs - 1);
  expect([members.starting === undefined, reported.length]).toEqual([false, 0]);
  await clock.advance(1);
  // ahead of the promise: without a bound this fails by its limit, not by the test's
  await expect.poll(() => members.starting).toBeUndefined();
  await starting;
  expect([reported, listening()]).toEqual([[], 1]);
  await clock.advance(nriLimits.launchMs - nriLimits.directoryMs);
  await expect
    .poll(() => reported)
    .toEqual([
      expect.stringMatching(/^nri plugins: list nri plugins: timed out after 60000 ms waiting for .*$/u),
    ]);
  await members.close();
});

test('F89 a plugin whose program never answers is reported and does not delay pods; when it starts later, it is ended', async () => {
  const launched = Promise.withResolvers<LaunchedPlugin>();
  let launches = 0;
  const launch = (): Promise<LaunchedPlugin> => {
    launches += 1;
    return launched.promise;
  };
  const { clock, members, reported, waitsFor, listening } = bench({
    find: () => Promise.resolve([plugin]),
    launch,
  });
  const starting = members.start();
  await expect.poll(() => launches).toBe(1);
  await waitsFor(2);
  await clock.advance(nriLimits.directoryMs);
  await expect.poll(() => members.starting).toBeUndefined();
  await starting;
  expect([reported, members.starting, listening()]).toEqual([[], undefined, 1]);
  await clock.advance(nriLimits.launchMs - nriLimits.directoryMs);
  await expect
    .poll(() => reported)
    .toEqual([
      'nri plugin 10-late: start nri plugin 10-late: timed out after 60000 ms waiting for /proc/self/exe',
    ]);
  const child = await spawnProcess({ argv: ['/bin/sleep', '3600'], env: {}, isHelper: false });
  onTestFinished(() => void killProcess(child.identity, 9));
  const socket = new Socket();
  launched.resolve({ socket, child });
  await waitsFor(1);
  await clock.advance(nriLimits.endMs);
  expect(await child.exited).toMatchObject({ signal: 9 });
  expect([socket.destroyed, reported.length]).toEqual([true, 1]);
  await members.close();
});

test('F89 a plugin whose directory and program are read after pods have waited can still register', async () => {
  const found = Promise.withResolvers<readonly (typeof plugin)[]>();
  const launched = Promise.withResolvers<LaunchedPlugin>();
  const { clock, members, reported, waitsFor } = bench({
    find: () => found.promise,
    launch: () => launched.promise,
  });
  const starting = members.start();
  await waitsFor(2);
  await clock.advance(nriLimits.directoryMs);
  await starting;
  await clock.advance(nriLimits.launchMs - nriLimits.directoryMs - 1);
  found.resolve([plugin]);
  await waitsFor(2);
  await clock.advance(nriLimits.launchMs - 1);
  const fake = new FakePlugin(clock);
  const child = await spawnProcess({ argv: ['/bin/sleep', '3600'], env: {}, isHelper: false });
  onTestFinished(() => void killProcess(child.identity, 9));
  launched.resolve({ socket: fake.trunk as Socket, child });
  await fake.registers('late', '10');
  await expect.poll(() => members.all.map(({ id }) => id)).toEqual(['10-late']);
  expect(reported).toEqual([]);
  // it is ours: once its connection is closed, it is ended
  fake.dies();
  await expect.poll(() => members.all).toEqual([]);
  await clock.advance(nriLimits.endMs);
  expect(await child.exited).toMatchObject({ signal: 9 });
  await members.close();
});

test('F89 a program started after the daemon’s end is ended', async () => {
  const launched = Promise.withResolvers<LaunchedPlugin>();
  let launches = 0;
  const { clock, members, waitsFor } = bench({
    find: () => Promise.resolve([plugin]),
    launch: () => {
      launches += 1;
      return launched.promise;
    },
  });
  const starting = members.start();
  await expect.poll(() => launches).toBe(1);
  await waitsFor(2);
  await clock.advance(nriLimits.directoryMs);
  await starting;
  await members.close();
  const child = await spawnProcess({ argv: ['/bin/sleep', '3600'], env: {}, isHelper: false });
  onTestFinished(() => void killProcess(child.identity, 9));
  const socket = new Socket();
  launched.resolve({ socket, child });
  await expect.poll(() => socket.destroyed).toBe(true);
  await clock.advance(nriLimits.endMs);
  expect(await child.exited).toMatchObject({ signal: 9 });
});
