import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { bootId } from '../../../../src/host/files/boot-id.ts';
import {
  hasItsPid,
  isLivePid,
  isProcessEnding,
  isRunningStat,
  killProcess,
  parseStat,
  processExists,
  processIdentity,
  processMark,
  surelyExists,
} from '../../../../src/host/process/process-identity.ts';
import { exitStatus } from '../../../../src/host/process/process-reaper.ts';

const tail = 'S 10 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 2 3 4';

test('the stat line is read with spaces and parentheses in the command', () => {
  const wanted = {
    pid: 77,
    startTicks: 987654,
    state: 'S',
    parentPid: 10,
    processGroup: 42,
    session: 42,
    flags: 4194560,
  };
  expect(parseStat(`77 (sh) ${tail}\n`)).toEqual(wanted);
  expect(parseStat(`77 (a) b (c) R 1) ${tail}\n`)).toEqual(wanted);
});

test('an invalid stat line gives undefined', () => {
  for (const text of ['', '77', '77 (sh', '77 (sh) S 1', `x (sh) ${tail}`])
    expect(parseStat(text)).toBeUndefined();
});

test('F43: a process with another start time is another process', () => {
  const self = processIdentity(process.pid);
  if (self === undefined) throw new Error('no identity of this very process');
  expect(processExists(self)).toBe(true);
  expect(killProcess(self, 0)).toBe(true);
  const reused = { pid: self.pid, startTicks: self.startTicks + 1 };
  expect(processExists(reused)).toBe(false);
  expect(killProcess(reused, 9)).toBe(false);
  expect(processIdentity(2 ** 22 + 1)).toBeUndefined();
});

test('F43 a pid that is the id of a thread by now is nobody’s', () => {
  const thread = readdirSync('/proc/self/task')
    .map(Number)
    .find((id) => id !== process.pid);
  if (thread === undefined) throw new Error('this process has one thread only');
  const ended = { pid: thread, startTicks: 1 };
  expect([processExists(ended), surelyExists(ended), hasItsPid(ended), isLivePid(thread)]).toEqual([
    false,
    false,
    false,
    false,
  ]);
  expect(killProcess(ended, 9)).toBe(false);
  expect(processMark(thread)).toBeUndefined();
});

test('F47: a process is ending when it is gone, its pid reused, or killed; not while it lives', async () => {
  const self = processIdentity(process.pid);
  if (self === undefined) throw new Error('no identity of this very process');
  expect(isProcessEnding(self)).toBe(false);
  expect(isProcessEnding({ pid: self.pid, startTicks: self.startTicks + 1 })).toBe(true);
  expect(isProcessEnding({ pid: 2 ** 22 + 1, startTicks: 1 })).toBe(true);
  const child = spawn('sleep', ['1000']);
  const identity = processIdentity(child.pid ?? 0);
  if (identity === undefined) throw new Error('no identity of a child');
  expect(isProcessEnding(identity)).toBe(false);
  const ended = once(child, 'exit');
  killProcess(identity, 9);
  // whatever it is at: the signal waits, it gives back what it has, it is a zombie
  expect(isProcessEnding(identity)).toBe(true);
  await ended;
  expect(isProcessEnding(identity)).toBe(true);
});

test('the result of waitid is read as a code or a signal', () => {
  // siginfo_t: si_code CLD_EXITED, CLD_KILLED or CLD_DUMPED at 8, si_status at 24 (waitid(2))
  const info = (code: number, status: number): Buffer => {
    const buffer = Buffer.alloc(128);
    buffer.writeInt32LE(code, 8);
    buffer.writeInt32LE(status, 24);
    return buffer;
  };
  expect(exitStatus(info(1, 0))).toEqual({ exitCode: 0, signal: null });
  expect(exitStatus(info(1, 42))).toEqual({ exitCode: 42, signal: null });
  expect(exitStatus(info(2, 9))).toEqual({ exitCode: null, signal: 9 });
  expect(exitStatus(info(3, 11))).toEqual({ exitCode: null, signal: 11 });
});

test('the boot is identified by its id', () => {
  expect(bootId()).toMatch(/^[0-9a-f-]{36}$/u);
});

test('F71 a process that has begun to exit counts as ended, before it is a zombie', () => {
  const [forkedOnly, exiting] = [0x40, 0x4];
  expect(['R', 'S', 'D', 'T'].map((state) => isRunningStat({ state, flags: forkedOnly }))).toEqual([
    true,
    true,
    true,
    true,
  ]);
  expect(['R', 'S', 'D', 'Z', 'X'].map((state) => isRunningStat({ state, flags: exiting }))).toEqual([
    false,
    false,
    false,
    false,
    false,
  ]);
  expect(isRunningStat({ state: 'Z', flags: 0 })).toBe(false);
});
