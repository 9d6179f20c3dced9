// A program that `troupe upgrade` starts: it takes over, or it is ended and the reason is said.
import { expect, test } from 'vitest';
import type { HandingState } from '../../../../src/daemon/takeover/handing-node.ts';
import type { Message } from '../../../../src/daemon/takeover/messages.ts';
import { Upgrading } from '../../../../src/daemon/takeover/upgrading.ts';
import { takeOverLimits } from '../../../../src/daemon/bounds.ts';
import { silentLog } from '../../../../src/base/log.ts';
import type { ExitStatus } from '../../../../src/host/process/process-reaper.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { turns } from '../../../support/turns.ts';

const PROGRAM = '/opt/troupe/bin/troupe';
const identity = { pid: 77, startTicks: 1 };

function bench() {
  const clock = new HandClock();
  const said: Message[] = [];
  const exited = Promise.withResolvers<ExitStatus>();
  const seen = {
    state: 'serving' as HandingState,
    started: [] as (string | undefined)[],
    killed: 0,
    closed: 0,
    isWaiting: false,
    successor: identity.pid,
    refusal: undefined as string | undefined,
  };
  const upgrading = new Upgrading({
    clock,
    log: silentLog,
    state: () => seen.state,
    isWaiting: () => seen.isWaiting,
    successor: () => seen.successor,
    refusalOf: (pid) => (pid === identity.pid ? seen.refusal : undefined),
    watch: () => () => undefined,
    start: async (program) => {
      seen.started.push(program);
      return { pid: identity.pid, identity, exited: exited.promise };
    },
    kill: () => void (seen.killed += 1),
    identity: 'one',
  });
  const report = async (message: Message): Promise<void> => void said.push(message);
  const link = { report, close: () => void (seen.closed += 1) };
  const ask = (program?: string): Promise<void> =>
    upgrading.serve(link, { type: 'upgrade', protocol: 1, program });
  const reload = (unless: string): Promise<void> =>
    upgrading.serve(link, { type: 'upgrade', protocol: 1, program: PROGRAM, unless });
  return { clock, said, exited, seen, ask, reload };
}

test('the program takes over: done, and it is left alone', async () => {
  const { clock, said, seen, ask } = bench();
  const asked = ask(PROGRAM);
  await turns();
  seen.state = 'handing';
  await clock.advance(takeOverLimits.pollMs);
  seen.state = 'passed';
  await clock.advance(takeOverLimits.pollMs);
  await asked;
  expect(said.map(({ type }) => type)).toEqual(['step', 'done']);
  expect(seen).toMatchObject({ started: [PROGRAM], killed: 0, closed: 1 });
});

test('only another program replaces the one that runs, if that is asked for', async () => {
  const { said, seen, exited, reload } = bench();
  await reload('one');
  expect(said).toEqual([{ type: 'unchanged' }]);
  expect(seen).toMatchObject({ started: [], closed: 1 });
  const asked = reload('other');
  exited.resolve({ exitCode: 1, signal: null });
  await asked;
  expect(seen.started).toEqual([PROGRAM]);
});

test('a program that fails its self-check is refused with its code', async () => {
  const { said, exited, ask } = bench();
  const asked = ask();
  exited.resolve({ exitCode: 1, signal: null });
  await asked;
  expect(said.at(-1)).toMatchObject({ type: 'refused', reason: expect.stringContaining('ended with 1 ') });
});

test('a program that hangs before it asks is ended after a bound', async () => {
  const { clock, said, seen, ask } = bench();
  const asked = ask();
  await turns();
  await clock.advance(takeOverLimits.helloMs);
  expect(seen.killed).toBe(0);
  await clock.advance(2 * takeOverLimits.pollMs);
  await asked;
  expect(seen.killed).toBe(1);
  expect(said.at(-1)).toMatchObject({
    reason: expect.stringContaining('has not asked to take over within 60 s'),
  });
});

test('a hand-over in progress has its own bounds: the program is given up only after them', async () => {
  const { clock, said, seen, ask } = bench();
  const asked = ask();
  await turns();
  seen.state = 'released';
  await clock.advance(takeOverLimits.helloMs + 2 * takeOverLimits.pollMs);
  expect(seen.killed).toBe(0);
  await clock.advance(takeOverLimits.landMs + takeOverLimits.abortMs + takeOverLimits.recoverMs);
  await asked;
  expect(said.at(-1)).toMatchObject({ reason: expect.stringContaining('in time') });
});

test('one upgrade at a time, none while a daemon takes over, and only an absolute path', async () => {
  const { clock, said, seen, ask } = bench();
  const first = ask();
  await turns();
  await ask();
  expect(said.at(-1)).toMatchObject({ reason: 'another upgrade is under way' });
  seen.state = 'passed';
  await clock.advance(takeOverLimits.pollMs);
  await first;
  await ask();
  expect(said.at(-1)).toMatchObject({ reason: 'another daemon takes over already' });
  seen.state = 'serving';
  await ask('troupe');
  expect(said.at(-1)).toMatchObject({ reason: expect.stringContaining('not an absolute path') });
  expect(seen.started).toEqual([undefined]);
});

test('a program that was refused: the reason is said, not where it is', async () => {
  const { said, exited, seen, ask } = bench();
  seen.refusal = 'take over: 1.0.0 reads the journal up to version 1';
  const asked = ask();
  exited.resolve({ exitCode: 6, signal: null });
  await asked;
  const reason = `process ${identity.pid} ended with 6 and has not taken over: ${seen.refusal}`;
  expect(said.at(-1)).toEqual({ type: 'refused', reason });
});

test('F92 a daemon that waits for a successor gets one; while another one takes over none is started', async () => {
  const { clock, said, seen, ask } = bench();
  seen.state = 'released';
  await ask(PROGRAM);
  expect([seen.started, said.at(-1)]).toEqual([
    [],
    { type: 'refused', reason: 'another daemon takes over already' },
  ]);
  seen.isWaiting = true;
  const asked = ask(PROGRAM);
  await turns();
  seen.state = 'passed';
  await clock.advance(takeOverLimits.pollMs);
  await asked;
  expect([seen.started, said.at(-1)]).toEqual([[PROGRAM], { type: 'done' }]);
});

test('another daemon takes over first: the program that was refused is not taken for it', async () => {
  const { clock, said, exited, seen, ask } = bench();
  const asked = ask(PROGRAM);
  await turns();
  seen.refusal = 'take over: another daemon is taking over';
  [seen.state, seen.successor] = ['passed', 78];
  await clock.advance(takeOverLimits.pollMs);
  exited.resolve({ exitCode: 6, signal: null });
  await asked;
  expect(said.at(-1)).toMatchObject({ type: 'refused', reason: expect.stringContaining(seen.refusal) });
});

test('F92 its daemon ends young and the successor of the former one serves: that is not the program', async () => {
  const { clock, said, exited, seen, ask } = bench();
  const asked = ask(PROGRAM);
  await turns();
  [seen.state, seen.successor] = ['passed', 78];
  await clock.advance(takeOverLimits.pollMs);
  expect(said.map(({ type }) => type)).toEqual(['step']);
  exited.resolve({ exitCode: 5, signal: null });
  await asked;
  expect(said.at(-1)).toEqual({
    type: 'refused',
    reason: `process ${identity.pid} ended with 5 and has not taken over, process 78 has: the daemon's log has its lines`,
  });
});
