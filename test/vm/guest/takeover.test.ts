// A program that was installed anew takes over under the real systemd: no call fails, systemd follows.
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { processStat } from '../../../src/host/process/process-identity.ts';
import { until } from '../../support/eventually.ts';
import { checkout } from '../../support/tools/cache.ts';
import { Node, shown, startTroupe, startWithImage, systemctl } from './node.ts';

const WATCHDOG_S = 10;
const DROP_IN = '/etc/systemd/system/troupe.service.d/takeover.conf';
/** Beside the checkout, which is mounted. */
const NEXT = '/opt/troupe-next';
let node: Node;

beforeAll(async () => {
  node = new Node(await startWithImage());
  writeFileSync(
    DROP_IN,
    `[Service]\nWatchdogSec=${WATCHDOG_S}\nExecReload=\nExecReload=${NEXT}/bin/troupe reload\n`,
  );
  await systemctl('daemon-reload');
  await startTroupe();
});

afterAll(async () => {
  await node.removeAll();
  node.close();
});

it('F92 systemctl reload lets an installed program take over, which systemd then watches and stops', async () => {
  const pod = await node.runPod('takeover');
  const id = await node.startUntilUp(pod, 'main', 0);
  const former = Number(await shown('MainPID'));
  mkdirSync(NEXT);
  for (const name of ['bin', 'src', 'deploy', 'package.json'])
    cpSync(join(checkout, name), join(NEXT, name), { recursive: true });
  symlinkSync(join(checkout, 'node_modules'), join(NEXT, 'node_modules'));
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
  const main = Number(await shown('MainPID'));
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
