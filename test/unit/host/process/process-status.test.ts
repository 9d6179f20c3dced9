import { expect, test } from 'vitest';
import { processStat } from '../../../../src/host/process/process-identity.ts';
import { isExecuting, parseStatus, processStatus } from '../../../../src/host/process/process-status.ts';

const text = (lines: Readonly<Record<string, string>>): string =>
  Object.entries({
    Name: 'sh',
    State: 'S (sleeping)',
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
  const plain = { pid: 77, state: 'S', parentPid: 10, session: 42, isInOwnPids: true, isKilled: false };
  expect(parseStatus(77, text({}))).toEqual(plain);
  expect(parseStatus(77, text({ Name: 'State:\\tZ: PPid: 1' }))).toEqual(plain);
  expect(parseStatus(77, text({ NSpid: '77\t1', NSsid: '0\t1' }))).toEqual({
    ...plain,
    session: 0,
    isInOwnPids: false,
  });
  // SIGKILL is number 9, the lowest bit is that of 1
  for (const name of ['SigPnd', 'ShdPnd'])
    expect(parseStatus(77, text({ [name]: '0000000000000100' }))?.isKilled).toBe(true);
  expect(parseStatus(77, text({ SigPnd: '0000000000000200' }))?.isKilled).toBe(false);
});

test('a text of another form gives undefined', () => {
  for (const wrong of ['', 'State', 'State:\tS\n', text({ PPid: 'x' }), text({ NSsid: 'x' })])
    expect(parseStatus(77, wrong)).toBeUndefined();
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
