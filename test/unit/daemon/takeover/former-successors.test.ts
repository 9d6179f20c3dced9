// The daemon that hands its node over, where successors fail: who serves then (F92).
import { once } from 'node:events';
import { Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { takeOverLimits } from '../../../../src/daemon/bounds.ts';
import type { Parcel } from '../../../../src/daemon/takeover/handing-node.ts';
import { fault, FaultError } from '../../../../src/base/fault.ts';
import { closeFd, makeSocketPair } from '../../../../src/host/io/descriptors.ts';
import { loopTurn, untilTrue } from '../../../support/turns.ts';
import { count, Former, NEW, PARCEL } from './former-stage.ts';

const {
  landMs,
  abortMs,
  answerMs,
  pollMs,
  recoverMs,
  probationMs,
  successors,
  successorAgainMs,
  relayPollMs,
} = takeOverLimits;

test('F92 successors that fail are started again at once, then now and then, until one serves', async () => {
  const former = new Former();
  former.successor = () => {
    former.did.push('failed');
    throw new Error('no such file');
  };
  await former.takeOver();
  const rescued = former.handing.rescue();
  await former.clock.advance(relayPollMs);
  await untilTrue(() => count(former, 'failed') === successors);
  await loopTurn();
  await former.clock.advance(successorAgainMs);
  await untilTrue(() => count(former, 'failed') === successors + 1);
  // by hand
  await former.takeOver(700);
  await former.clock.advance(successorAgainMs);
  await rescued;
  expect([former.handing.state, count(former, 'failed')]).toEqual(['passed', successors + 1]);
});

test('F92 successors that take the lock and end young follow each other with pauses', async () => {
  const former = new Former();
  former.listenAgain = () => Promise.reject(new FaultError(fault('conflict', 'another one listens')));
  former.successor = () => (former.locker = 700 + count(former, 'successor'));
  await former.takeOver();
  const endsYoung = async (): Promise<void> => {
    const before = former.did.filter((one) => one.startsWith('served by')).length;
    former.locker = undefined;
    const rescued = former.handing.rescue();
    await former.passUntil(
      () => former.did.filter((one) => one.startsWith('served by')).length > before,
      relayPollMs,
    );
    await rescued;
  };
  for (let at = 0; at < successors; at += 1) await endsYoung();
  const beganMs = former.clock.monoMs();
  await endsYoung();
  expect(former.clock.monoMs() - beganMs).toBeGreaterThan(successorAgainMs);
  // one that lives through its probation ends the count
  await former.clock.advance(recoverMs + probationMs);
  former.handing.settle();
  const againMs = former.clock.monoMs();
  await endsYoung();
  expect(former.clock.monoMs() - againMs).toBeLessThan(successorAgainMs);
});

test('F92 a successor that hangs is killed, and another one started', async () => {
  const former = new Former();
  await former.takeOver();
  void former.handing.rescue();
  await former.clock.advance(relayPollMs);
  await untilTrue(() => count(former, 'successor') === 1);
  await former.passUntil(() => count(former, 'successor') === 2, relayPollMs);
  expect(former.did.filter((one) => one.startsWith('kill'))).toHaveLength(1);
  await former.takeOver(700);
});

/** A successor has taken the lock, and was left to: another former daemon listened until then. */
async function takenUnasked(): Promise<Former> {
  const former = new Former();
  former.listenAgain = () => Promise.reject(new FaultError(fault('conflict', 'another one listens')));
  former.successor = () => (former.locker = 700);
  await former.takeOver();
  const rescued = former.handing.rescue();
  await former.passUntil(() => former.did.includes('served by 700'), relayPollMs);
  await rescued;
  return former;
}

test('F92 a successor that took the lock without asking here serves: it is not killed (seed 210446)', async () => {
  const former = await takenUnasked();
  await former.clock.advance(2 * recoverMs);
  expect(former.did.filter((one) => one.startsWith('kill'))).toEqual([]);
  expect([former.handing.state, count(former, 'successor')]).toEqual(['passed', 1]);
});

test('F92 a successor that has the lock and still recovers is young until it has served for a while', async () => {
  const former = await takenUnasked();
  await former.clock.advance(recoverMs);
  expect(former.handing.isProbation).toBe(true);
  await former.clock.advance(probationMs);
  expect(former.handing.isProbation).toBe(false);
});

test('F92 a successor that ends between its recovery and its service leaves a daemon that the next one finds', async () => {
  for (const isUnderSystemd of [false, true]) {
    const former = new Former();
    former.isUnderSystemd = isUnderSystemd;
    let isListening = true;
    former.pass = async () => void (isListening = false);
    former.listenAgain = async () => void (isListening = true);
    const steps: string[] = [];
    former.handing.watch((step) => steps.push(step));
    const failures = (): number => steps.filter((step) => step.startsWith('failed: ')).length;
    const first = former.meet();
    await first.link.expect('freezing', 1000);
    await first.link.expect('released', 1000);
    former.running.delete(NEW);
    first.link.close();
    await untilTrue(() => failures() === 1);
    if (!isUnderSystemd) await untilTrue(() => count(former, 'successor') === 1);
    const second = former.meet(700);
    await second.link.expect('freezing', 1000);
    await second.link.expect('released', 1000);
    await second.link.send({ type: 'recovered' });
    await untilTrue(() => !isListening);
    second.link.close();
    await untilTrue(() => failures() === 2);
    await loopTurn();
    expect(isListening).toBe(true);
    await former.takeOver(800);
    expect(former.handing.state).toBe('passed');
  }
});

test('F92 an error of listening for a successor does not end the rescue: it is tried again before each', async () => {
  const former = new Former();
  former.listenAgain = async () => {
    former.did.push('listen');
    throw new Error('no space');
  };
  const { ours, theirs: kept } = makeSocketPair();
  const other = new Socket({ fd: ours });
  onTestFinished(() => void other.destroy());
  former.release = async () => ({
    message: { ...PARCEL.message, sockets: ['cri'] },
    fds: [kept],
  });
  const closed = once(other.resume(), 'end');
  await former.takeOver();
  const rescued = former.handing.rescue();
  await former.passUntil(() => count(former, 'successor') === 1, relayPollMs);
  expect(count(former, 'listen')).toBe(2);
  // a successor that does not find this one finds the socket of the CRI free
  await closed;
  await former.passUntil(() => count(former, 'successor') === 2, relayPollMs);
  expect(count(former, 'listen')).toBe(3);
  // it gets the names of those that it gets
  const { link } = former.meet(700);
  await link.expect('freezing', 1000);
  const { message, fds } = await link.expect('released', 1000);
  expect([message.sockets, fds]).toEqual([[], []]);
  await link.send({ type: 'recovered' });
  await link.expect('passed', 1000);
  await link.send({ type: 'serving' });
  await link.expect('named', 1000);
  await former.clock.advance(relayPollMs);
  await rescued;
  expect(former.handing.state).toBe('passed');
});

test('F92 an error of listening before calls were passed on keeps the sockets, and is followed by another try', async () => {
  const former = new Former();
  let failures = 0;
  former.listenAgain = async () => {
    former.did.push('listen');
    if ((failures -= 1) >= 0) throw new Error('too many open files');
  };
  const { ours, theirs: kept } = makeSocketPair();
  const other = new Socket({ fd: ours });
  onTestFinished(() => void other.destroy());
  former.release = async () => ({ message: { ...PARCEL.message, sockets: ['cri'] }, fds: [kept] });
  /** Takes over up to the moment in which it would serve, and ends. */
  const endsEarly = async (pid: number): Promise<number> => {
    const { link } = former.meet(pid);
    await link.expect('freezing', 1000);
    const { fds } = await link.expect('released', 1000);
    for (const fd of fds) closeFd(fd);
    await link.send({ type: 'recovered' });
    await link.expect('passed', 1000);
    failures = 1;
    former.running.delete(pid);
    link.close();
    return fds.length;
  };
  expect(await endsEarly(NEW)).toBe(1);
  await former.passUntil(() => count(former, 'successor') === 1, relayPollMs);
  expect(count(former, 'listen')).toBe(2);
  // while it waits for that one
  expect(await endsEarly(700)).toBe(1);
  await former.passUntil(() => count(former, 'successor') === 2, relayPollMs);
  expect(count(former, 'listen')).toBe(4);
  expect(await endsEarly(800)).toBe(1);
  await former.passUntil(() => count(former, 'successor') === 3, relayPollMs);
  await former.takeOver(900);
  expect(former.handing.state).toBe('passed');
});

test('F92 a program that somebody brings is welcome while this one waits, unless systemd starts the next', async () => {
  for (const isUnderSystemd of [false, true]) {
    const former = new Former();
    former.isUnderSystemd = isUnderSystemd;
    await former.takeOver();
    expect(former.handing.isWaiting).toBe(false);
    void former.handing.rescue();
    await former.clock.advance(relayPollMs);
    await loopTurn();
    expect([former.handing.state, former.handing.isWaiting]).toEqual(['released', !isUnderSystemd]);
    await former.takeOver(700);
  }
});

test('F92 the daemon that has migrated the journal ends: the log says once of which version a successor must be', async () => {
  const former = new Former();
  former.migratedTo = '2';
  former.successor = () => {
    former.did.push('failed');
    throw new Error('ended');
  };
  expect(former.handing.isWaiting).toBe(false);
  await former.takeOver();
  const rescued = former.handing.rescue();
  await former.clock.advance(relayPollMs);
  await untilTrue(() => count(former, 'failed') === successors);
  await loopTurn();
  expect(former.handing.isWaiting).toBe(true);
  const reason = '2.0.0 has migrated to 2';
  expect(former.errors.filter(([, message]) => message.includes('migrated'))).toEqual([
    [expect.objectContaining({ reason }), 'the daemon that had taken over has migrated the journal'],
  ]);
  expect(former.errors.at(-1)).toEqual([
    { successors, reason },
    expect.stringContaining('no successor has taken over'),
  ]);
  await former.takeOver(700);
  await former.clock.advance(successorAgainMs);
  await rescued;
  expect(former.handing.state).toBe('passed');
});

test('F92 a disk that hangs, or a journal that can not be read, keeps no successor from its start', async () => {
  for (const migrated of [
    () => new Promise<never>(() => undefined),
    () => Promise.reject(new Error('EIO')),
  ]) {
    const former = new Former();
    former.migrated = migrated;
    await former.takeOver();
    const rescued = former.handing.rescue();
    await former.passUntil(() => former.did.includes('successor'), relayPollMs);
    await former.takeOver(700);
    await former.clock.advance(relayPollMs);
    await rescued;
  }
});

test('the reason of the last refusal is kept for whoever has started that process', async () => {
  const former = new Former();
  former.refusal = 'take over: another root';
  await former.meet().served;
  expect([former.handing.refusalOf(NEW), former.handing.refusalOf(NEW + 1)]).toEqual([
    former.refusal,
    undefined,
  ]);
});

test('F92 a daemon that is stopped starts no successor, and does not wait for one', async () => {
  const former = new Former();
  former.successor = () => {
    throw new Error('no such file');
  };
  await former.takeOver();
  const rescued = former.handing.rescue();
  await former.clock.advance(relayPollMs);
  await untilTrue(() => former.handing.state === 'released');
  await former.handing.stop();
  await former.clock.advance(successorAgainMs);
  await rescued;
  const before = former.did.length;
  await former.handing.rescue();
  expect(former.did.slice(before)).toEqual([]);
  expect(former.did).not.toContain('abandoned');
});

test('F92 a stop while the daemon that has taken over has just ended leaves it at that', async () => {
  const former = new Former();
  await former.takeOver();
  const rescued = former.handing.rescue();
  await former.handing.stop();
  await former.clock.advance(relayPollMs);
  await rescued;
  expect([former.handing.state, count(former, 'successor')]).toEqual(['passed', 0]);
});

test('F92 a stop during the hand-over names the daemon that takes over, also while a disk holds up the release', async () => {
  const former = new Former();
  const disk = Promise.withResolvers<Parcel>();
  former.release = () => disk.promise;
  const { link, served } = former.meet();
  await link.expect('freezing', 1000);
  await untilTrue(() => former.isOff);
  const stopped = former.handing.stop();
  await former.clock.advance(landMs + abortMs + answerMs + pollMs);
  expect([await stopped, former.handing.state]).toEqual([{ pid: NEW, startTicks: 1 }, 'handing']);
  // and its calls, which wait for that, can't be carried out here any more
  expect(former.handing.hasBegunRelease).toBe(true);
  former.running.delete(NEW);
  link.close();
  disk.resolve(PARCEL);
  await served;
});

test('F92 once another daemon serves a stop has nobody to end', async () => {
  const former = new Former();
  await former.takeOver();
  expect(await former.handing.stop()).toBe('passed');
});
