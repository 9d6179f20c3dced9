// A program that was installed anew takes over under the real systemd: no call fails, systemd follows.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { processStat } from '../../../src/host/process/process-identity.ts';
import { until } from '../../support/eventually.ts';
import { Node, shown, startTroupe, startWithImage, systemctl } from './node.ts';
import { installNext, mainPid, NEXT, removeNext } from './serving.ts';

const WATCHDOG_S = 10;
let node: Node;

beforeAll(async () => {
  node = new Node(await startWithImage());
  await installNext([`WatchdogSec=${WATCHDOG_S}`]);
  await startTroupe();
});

afterAll(async () => {
  await node.removeAll();
  node.close();
  await removeNext();
});

it('F92 systemctl reload lets an installed program take over, which systemd then watches and stops', async () => {
  const pod = await node.runPod('takeover');
  const id = await node.startUntilUp(pod, 'main', 0);
  const former = await mainPid();
  // rejects with the first call that fails
  let isOver = false;
  const calls = (async (): Promise<void> => {
    while (!isOver) {
      await node.client.runtime.listContainers({});
      expect(await node.exec(id, 'echo', 'x')).toBe('x');
    }
  })();
  await systemctl('reload', 'troupe');
  isOver = true;
  await calls;
  const main = await mainPid();
  expect(main).not.toBe(former);
  expect(processStat(main)?.parentPid).toBe(1);
  expect(readFileSync(`/proc/${main}/cmdline`, 'utf8')).toContain(NEXT);
  // in microseconds; each report of life moves it
  const livedUs = async (): Promise<number> => Number(await shown('WatchdogTimestampMonotonic'));
  const begunUs = await livedUs();
  await until(async () => (await livedUs()) > begunUs + 1.5e6 * WATCHDOG_S);
  expect([await shown('MainPID'), await shown('NRestarts')]).toEqual([String(main), '0']);
  await node.removePod(pod.id);
  await systemctl('stop', 'troupe');
  expect([main, former].map((pid) => processStat(pid))).toEqual([undefined, undefined]);
  await systemctl('start', 'troupe');
});
