// What the kernel says of pods, where whoever is in one decides how much there is to say.
import { spawn } from 'node:child_process';
import { readFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { hostLimits } from '../../../../src/host/bounds.ts';
import { readNetDev } from '../../../../src/host/usage/kernel-files.ts';
import type { ProcessStatus } from '../../../../src/host/process/process-status.ts';
import { membersOf } from '../../../../src/host/process/process-kill.ts';
import { interfacesIn } from '../../../../src/host/usage/stats-driver.ts';
import { readDetails } from '../../../../src/host/usage/usage-details.ts';
import { commandLine } from '../../../../src/host/process/command-line.ts';

/** Bytes that this thread has read so far (proc_pid_io(5)). */
function bytesRead(): number {
  return Number(/^rchar: (\d+)$/mu.exec(readFileSync('/proc/thread-self/io', 'utf8'))?.[1]);
}

test('S89: of a command line of megabytes the beginning is read', async () => {
  const words = Array.from({ length: 12 }, () => 'x'.repeat(100_000));
  const child = spawn('/bin/sh', ['-c', 'echo; read line', 'sh', ...words], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  // once it has said something it is the program with those words
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const before = bytesRead();
  const argv = commandLine(child.pid ?? 0);
  const read = bytesRead() - before;
  child.stdin.end();
  expect(argv.slice(0, 2)).toEqual(['/bin/sh', '-c']);
  // the two reads of the counters, and the descriptions
  expect(read).toBeLessThan(hostLimits.cmdlineBytes + 4096);
});

const HEAD =
  'Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs\n';
const interfaceLine = (name: string): string => `${name}: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n`;

test('S78: of a pod with a hundred thousand interfaces eth0 and a bounded number of others are in the statistics', () => {
  const text =
    HEAD +
    Array.from({ length: 100_000 }, (_, at) => interfaceLine(at === 70_000 ? 'eth0' : `dummy${at}`)).join('');
  const found = interfacesIn(text);
  expect(found).toHaveLength(hostLimits.interfaces);
  expect(found.slice(0, 2).map(({ name }) => name)).toEqual(['eth0', 'dummy0']);
  expect(interfacesIn(HEAD + interfaceLine('tun0') + interfaceLine('eth0')).map(({ name }) => name)).toEqual([
    'tun0',
    'eth0',
  ]);
});

test('S78: of a longer list of interfaces whole lines are read, up to the bound', () => {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-net-dev-'));
  const path = join(directory, 'dev');
  const line = interfaceLine('eth0');
  writeFileSync(path, line.repeat(100_000));
  const text = readNetDev(path) ?? '';
  expect(text.length).toBeLessThanOrEqual(hostLimits.netDevBytes);
  expect(text.length).toBeGreaterThan(hostLimits.netDevBytes - line.length);
  expect(text.endsWith(line)).toBe(true);
  writeFileSync(path, line);
  expect(readNetDev(path)).toBe(line);
  expect(readNetDev(join(directory, 'absent'))).toBeUndefined();
  rmSync(directory, { recursive: true });
});

test('S89: open files of a container with too many processes are not counted, also where these have none', () => {
  const pids = (count: number): string =>
    Array.from({ length: count }, (_, at) => `${2 ** 22 + at}\n`).join('');
  const details = (count: number) =>
    readDetails(2, (_controller, file) => (file === 'cgroup.procs' ? pids(count) : undefined), [], undefined);
  expect(details(hostLimits.countedFiles + 1)).toMatchObject({ openFiles: undefined, sockets: undefined });
  expect(details(2)).toMatchObject({ openFiles: 0n, sockets: 0n });
});

test('S89: the tree of a process with half a million children is found by one pass over them', () => {
  const status = (pid: number, parentPid: number): ProcessStatus => ({
    pid,
    state: 'S',
    parentPid,
    session: pid,
    isInOwnPids: true,
    isKilled: false,
    uids: [0],
  });
  const statuses = [status(2, 1), ...Array.from({ length: 500_000 }, (_, at) => status(3 + at, 2))];
  expect(membersOf(2, new Set([2]), statuses)).toHaveLength(500_001);
});
