import { expect, test } from 'vitest';
import { processStat } from '../../../../src/host/process/process-identity.ts';
import { membersOf } from '../../../../src/host/process/process-kill.ts';
import { isExecuting, statusIn, processStatus } from '../../../../src/host/process/process-status.ts';

const text = (lines: Readonly<Record<string, string>>): string =>
  Object.entries({
    Name: 'sh',
    State: 'S (sleeping)',
    Uid: '1\t2\t3\t4',
    PPid: '10',
    NSpid: '77',
    NSsid: '42',
    SigPnd: '0000000000000000',
    ShdPnd: '0000000000000000',
    ...lines,
  })
    .map(([name, value]) => `${name}:\t${value}\n`)
    .join('');

test('the lines that are used are read', () => {
  const plain = {
    pid: 77,
    state: 'S',
    parentPid: 10,
    session: 42,
    isInOwnPids: true,
    isKilled: false,
    uids: [1, 2, 3, 4],
  };
  expect(statusIn(77, text({}))).toEqual(plain);
  expect(statusIn(77, text({ Name: 'State:\\tZ: PPid: 1' }))).toEqual(plain);
  expect(statusIn(77, text({ NSpid: '77\t1', NSsid: '0\t1' }))).toEqual({
    ...plain,
    session: 0,
    isInOwnPids: false,
  });
  // SIGKILL is number 9, the lowest bit is that of 1
  for (const name of ['SigPnd', 'ShdPnd'])
    expect(statusIn(77, text({ [name]: '0000000000000100' }))?.isKilled).toBe(true);
  expect(statusIn(77, text({ SigPnd: '0000000000000200' }))?.isKilled).toBe(false);
});

test('a text of another form gives undefined', () => {
  for (const wrong of ['', 'State', 'State:\tS\n', text({ PPid: 'x' }), text({ NSsid: 'x' })])
    expect(statusIn(77, wrong)).toBeUndefined();
});

test('status and stat of a process say the same', () => {
  for (const pid of [1, process.pid, process.ppid]) {
    const { parentPid, session } = processStat(pid) ?? {};
    expect(processStatus(pid)).toMatchObject({ pid, parentPid, session });
    expect(isExecuting(pid)).toBe(false);
  }
  expect(processStatus(2 ** 22 + 1)).toBeUndefined();
  expect(isExecuting(2 ** 22 + 1)).toBe(false);
});

test('F50 children of a member whose first thread has ended belong to the tree, those of others do not', () => {
  const plain = { state: 'S', isInOwnPids: true, isKilled: false, uids: [0] };
  const statuses = [
    { ...plain, pid: 10, parentPid: 1, session: 10 },
    { ...plain, pid: 11, parentPid: 10, session: 5, state: 'Z' },
    { ...plain, pid: 12, parentPid: 11, session: 12 },
    { ...plain, pid: 13, parentPid: 1, session: 10 },
    { ...plain, pid: 14, parentPid: 1, session: 5 },
  ];
  const pids = (there: readonly number[]): number[] =>
    membersOf(10, new Set(there), statuses).map(({ pid }) => pid);
  expect(pids([10])).toEqual([10, 13, 11, 12]);
  // the leader has gone, and another process may have its pid: its number proves nothing
  expect(pids([11])).toEqual([11, 12]);
  expect(pids([])).toEqual([]);
});
