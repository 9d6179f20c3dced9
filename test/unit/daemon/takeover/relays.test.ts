// Records of the daemons that have handed over: whose process still runs, and what else may lie there.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  forgetRelay,
  relaysNow,
  recordRelay,
  runningRelays,
  untilGone,
} from '../../../../src/daemon/takeover/relays.ts';
import { processIdentity } from '../../../../src/host/process/process-identity.ts';
import { HandClock } from '../../../support/hand-clock.ts';

function relaysDir(): string {
  const directory = join(mkdtempSync(join(tmpdir(), 'troupe-relays-')), 'relays');
  onTestFinished(() => rmSync(join(directory, '..'), { recursive: true, force: true }));
  return directory;
}

const parent = processIdentity(process.ppid);

test('without a directory no relay runs', async () => {
  expect(await runningRelays(relaysDir())).toEqual([]);
  expect(await relaysNow(relaysDir())).toEqual([]);
});

test('a record is made, and removed when its process has nothing left', async () => {
  const directory = relaysDir();
  await recordRelay(directory, 'boot-1');
  expect(readdirSync(directory)).toEqual([String(process.pid)]);
  await forgetRelay(directory);
  await forgetRelay(directory);
  expect(readdirSync(directory)).toEqual([]);
});

test('only records of processes that run count, and the others are deleted: ended, another one, torn, ours', async () => {
  const directory = relaysDir();
  mkdirSync(directory);
  const { pid = 0, startTicks = 0 } = parent ?? {};
  const write = (name: string, text: string): void => writeFileSync(join(directory, name), text);
  write('runs', JSON.stringify({ pid, startTicks, boot: 'boot-1' }));
  // F43: the number belongs to a process that began later
  write('reused', JSON.stringify({ pid, startTicks: startTicks - 1, boot: 'boot-2' }));
  write('ended', JSON.stringify({ pid: 2 ** 22 + 1, startTicks: 1, boot: 'boot-3' }));
  write('torn', '{"pid":');
  write('strange', JSON.stringify({ pid: '1', startTicks, boot: 'boot-4' }));
  write('long', `{"pid":${'1'.repeat(100_000)}`);
  mkdirSync(join(directory, 'directory'));
  await recordRelay(directory, 'our own');
  // a start that has not got the lock yet only reads
  const before = readdirSync(directory);
  expect(await relaysNow(directory)).toHaveLength(1);
  expect(readdirSync(directory)).toEqual(before);
  expect(await runningRelays(directory)).toEqual([{ pid, startTicks, boot: 'boot-1' }]);
  expect(readdirSync(directory)).toEqual(['runs']);
  rmSync(join(directory, 'runs'));
  expect(await relaysNow(directory)).toEqual([]);
});

test('the wait for relays ends once none of them runs', async () => {
  await untilGone([{ pid: 2 ** 22 + 1, startTicks: 1 }], new HandClock());
});
