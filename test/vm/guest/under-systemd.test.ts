// What the real systemd makes of a daemon that ends or hangs: connects wait in its descriptor store or in its socket
// unit, the watchdog ends what does not answer, and a crash soon after a take-over leaves one daemon that serves.
import { copyFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { processStat } from '../../../src/host/process/process-identity.ts';
import { eventually, until } from '../../support/eventually.ts';
import { runOrThrow } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { configure, Node, served, shown, SOCKET, startTroupe, startWithImage, systemctl } from './node.ts';
import {
  installNext,
  isRefused,
  listAnew,
  ListsAnew,
  logSinceStart,
  mainPid,
  removeNext,
  servedByOther,
  untilEnded,
  whoServes,
} from './serving.ts';

const SOCKET_UNIT = '/etc/systemd/system/troupe.socket';
let node: Node;

beforeAll(async () => {
  node = new Node(await startWithImage());
  await installNext([
    'WatchdogSec=10',
    // two seconds more than the unit has, so that lists begin for certain while no daemon runs
    'RestartSec=3',
    // the watchdog's SIGABRT would write Node's whole memory
    'LimitCORE=0',
  ]);
});

afterAll(async () => {
  await startTroupe();
  node.close();
  await removeNext();
});

/** A pod with one container that runs. */
async function runOne(name: string) {
  const pod = await node.runPod(name);
  const id = await node.startUntilUp(pod, 'main', 0);
  return { pod, id, pid: await node.pid(id) };
}

type One = Awaited<ReturnType<typeof runOne>>;

/** It runs as before, and everything can be done with it. */
async function expectUntouched({ pod, id, pid }: One): Promise<void> {
  expect(await node.pid(id)).toBe(pid);
  expect(processStat(pid)).toBeDefined();
  expect(await node.exec(id, 'echo', 'x')).toBe('x');
  await node.client.runtime.stopContainer({ containerId: id, timeout: 60n });
  expect((await node.status(id)).exitCode).toBe(0);
  await node.removePod(pod.id);
}

/** By all who know who serves. */
async function expectServedBy(pid: number): Promise<void> {
  // a list that waits for the recovery comes before the last words to systemd
  await until(async () => (await shown('ActiveState')) === 'active');
  expect(await whoServes()).toEqual({ systemd: pid, lock: pid, socket: pid });
}

/** Another program takes over from the one that runs; answers both processes. */
async function takenOver(): Promise<{ readonly former: number; readonly next: number }> {
  const former = await mainPid();
  await systemctl('reload', 'troupe');
  const next = await mainPid();
  expect(next).not.toBe(former);
  return { former, next };
}

/** A program in the container that ends once `free` is called. What it writes is the answer. */
async function held(id: string) {
  const answer = node.exec(id, 'sh', '-c', 'touch /begun; while [ ! -e /free ]; do sleep 1; done; echo held');
  const settled = answer.then(
    (text) => text,
    (error: unknown) => error as Error,
  );
  const begun = ['sh', '-c', 'if [ -e /begun ]; then echo yes; fi'];
  await until(async () => (await node.exec(id, ...begun)) === 'yes');
  return { settled, free: async () => await node.exec(id, 'touch', '/free') };
}

/**
 * Lists begin over new connections all the time, while `end` ends the daemon and another one comes: nobody is refused,
 * and each list of the time without a daemon is answered.
 */
async function expectConnectsWait(end: (pid: number) => Promise<unknown>): Promise<number> {
  const lists = new ListsAnew();
  await until(() => lists.begun > 3);
  const before = await mainPid();
  const ending = end(before);
  await untilEnded(before);
  const first = lists.begun;
  lists.begin();
  const main = await servedByOther(before);
  await ending;
  const failures = await lists.end();
  expect(failures.filter(isRefused)).toEqual([]);
  expect(failures.slice(first).filter((reason) => reason !== undefined)).toEqual([]);
  return main;
}

const kill = async (pid: number): Promise<void> => {
  process.kill(pid, 'SIGKILL');
};

describe('the service alone', () => {
  beforeEach(async () => await startTroupe());
  // a test that fails must not fail the next
  afterEach(async () => await node.removeAll());

  it('F90 the store of descriptors: over SIGKILL connects wait for the next daemon, and none is refused', async () => {
    const one = await runOne('store');
    const before = await mainPid();
    process.kill(before, 'SIGKILL');
    await untilEnded(before);
    const waiting = listAnew();
    // no daemon has been started yet
    expect(await shown('NRestarts')).toBe('0');
    expect(await waiting).toBeUndefined();
    await expectServedBy(await servedByOther(before));
    await expectServedBy(await expectConnectsWait(kill));
    expect(await shown('NRestarts')).toBe('2');
    expect(await logSinceStart()).not.toContain('is not used');
    await expectUntouched(one);
  });

  it('F15 the watchdog ends a daemon whose event loop stands, and containers go on', async () => {
    const one = await runOne('watchdog');
    const before = await mainPid();
    process.kill(before, 'SIGSTOP');
    await untilEnded(before);
    const main = await servedByOther(before);
    await expectServedBy(main);
    expect(await shown('NRestarts')).toBe('1');
    const journal = ['journalctl', '--boot', '--no-pager', '--output=cat'];
    await eventually('systemd’s reason', async () =>
      (await runOrThrow([...journal, 'UNIT=troupe.service', 'UNIT_RESULT=watchdog'])).includes('watchdog'),
    );
    await expectUntouched(one);
  });

  it('F92 SIGKILL of a new daemon in its first seconds leaves one that serves, and sessions of before', async () => {
    const one = await runOne('young');
    const session = await held(one.id);
    const { former, next } = await takenOver();
    const main = await expectConnectsWait(kill);
    expect([former, next]).not.toContain(main);
    await expectServedBy(main);
    expect(await shown('NRestarts')).toBe('1');
    await session.free();
    expect(await session.settled).toBe('held');
    await untilEnded(former);
    await expectServedBy(main);
    await expectUntouched(one);
  });

  it('F92 SIGKILL of both daemons in the first seconds: systemd starts one, and pods are untouched', async () => {
    const one = await runOne('both');
    const session = await held(one.id);
    const { former, next } = await takenOver();
    const main = await expectConnectsWait(async (pid) => {
      process.kill(former, 'SIGKILL');
      await kill(pid);
    });
    expect(await session.settled).toBeInstanceOf(Error);
    expect(processStat(former)).toBeUndefined();
    expect([former, next]).not.toContain(main);
    await expectServedBy(main);
    expect(await shown('NRestarts')).toBe('1');
    await expectUntouched(one);
  });
});

describe('with the socket unit', () => {
  const ofSocket = async (property: string): Promise<string> =>
    await systemctl('show', `--property=${property}`, '--value', 'troupe.socket');
  const bySystemd = async (...names: readonly string[]): Promise<void> => {
    await systemctl('stop', 'troupe.socket', 'troupe.service');
    await systemctl('start', ...names);
  };

  beforeAll(async () => {
    await systemctl('stop', 'troupe');
    copyFileSync(join(checkout, 'deploy/troupe.socket'), SOCKET_UNIT);
    await systemctl('daemon-reload');
    await systemctl('enable', '--now', 'troupe.socket');
  });

  // nobody waits for it, so that it is there
  beforeEach(async () => await bySystemd('troupe.socket'));

  afterEach(async () => {
    await startTroupe();
    await node.removeAll();
  });

  afterAll(async () => {
    await systemctl('disable', '--now', 'troupe.socket');
    rmSync(SOCKET_UNIT);
    await systemctl('daemon-reload');
  });

  it('F90 the first connection starts the daemon, and only root may connect', async () => {
    expect([await ofSocket('SubState'), await shown('ActiveState')]).toEqual(['listening', 'inactive']);
    const file = statSync(SOCKET);
    expect([file.isSocket(), file.mode & 0o777, file.uid, file.gid]).toEqual([true, 0o600, 0, 0]);
    expect(statSync('/run/troupe').mode & 0o777).toBe(0o711);
    expect(await listAnew()).toBeUndefined();
    await expectServedBy(await mainPid());
    expect(await ofSocket('SubState')).toBe('running');
    const { ino, mode } = statSync(SOCKET);
    expect([ino, mode]).toEqual([file.ino, file.mode]);
    expect(await logSinceStart()).not.toContain('is not used');
  });

  it('F90 connects wait over a restart and over SIGKILL, at the socket of the unit', async () => {
    await systemctl('start', 'troupe');
    const one = await runOne('unit');
    const { ino, mode } = statSync(SOCKET);
    await expectServedBy(await expectConnectsWait(async () => await systemctl('restart', 'troupe')));
    // which has the same socket twice: of the unit, and of the store
    expect(await logSinceStart()).not.toContain('is not used');
    await expectServedBy(await expectConnectsWait(kill));
    expect([statSync(SOCKET).ino, statSync(SOCKET).mode]).toEqual([ino, mode]);
    expect(await logSinceStart()).not.toContain('is not used');
    await expectUntouched(one);
  });

  it('F92 after a take-over the socket is the unit’s still: stop, start and the first connection work', async () => {
    await systemctl('start', 'troupe');
    const one = await runOne('handed');
    const { ino } = statSync(SOCKET);
    const lists = new ListsAnew();
    const { former, next } = await takenOver();
    expect((await lists.end()).filter((reason) => reason !== undefined)).toEqual([]);
    await untilEnded(former);
    await expectServedBy(next);
    expect([await ofSocket('SubState'), statSync(SOCKET).ino]).toEqual(['running', ino]);
    await systemctl('stop', 'troupe.service');
    expect([await ofSocket('SubState'), await shown('ActiveState')]).toEqual(['listening', 'inactive']);
    expect(await listAnew()).toBeUndefined();
    await expectServedBy(await mainPid());
    await systemctl('stop', 'troupe.socket', 'troupe.service');
    expect(await listAnew()).toSatisfy(isRefused);
    expect(await shown('ActiveState')).toBe('inactive');
    await systemctl('start', 'troupe.socket', 'troupe.service');
    await expectServedBy(await mainPid());
    await expectUntouched(one);
  });

  it('F90 a socket whose file was removed is made again by the daemon, and counts until both units stop', async () => {
    await systemctl('start', 'troupe');
    const { ino } = statSync(SOCKET);
    rmSync(SOCKET);
    await served();
    expect(statSync(SOCKET).mode & 0o777).toBe(0o600);
    // that of the unit has no file any more, and that of the store has
    await expectServedBy(await expectConnectsWait(kill));
    await bySystemd('troupe.socket', 'troupe.service');
    await expectServedBy(await mainPid());
    expect(statSync(SOCKET).ino).not.toBe(ino);
    expect(await logSinceStart()).not.toContain('is not used');
  });

  // the last one: systemd counts the starts of five minutes, those of other tests, too
  it('a configuration that is wrong does not have systemd start the daemon for ever, while a client waits', async () => {
    await configure('systemd', 'unknown = 1\n');
    try {
      const waiting = listAnew();
      await until(async () => (await ofSocket('Result')) === 'trigger-limit-hit');
      expect(await waiting).toBeDefined();
      expect([await shown('ActiveState'), await shown('ExecMainStatus')]).toEqual(['failed', '78']);
    } finally {
      await configure('systemd');
    }
    await systemctl('start', 'troupe');
    await expectServedBy(await mainPid());
    expect(statSync(SOCKET).mode & 0o777).toBe(0o600);
  });
});
