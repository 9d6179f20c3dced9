// The daemon that hands its node over: each path of its states, whoever fails, and that one serves in the end (F92).
import { once } from 'node:events';
import { Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { takeOverLimits } from '../../../../src/daemon/bounds.ts';
import { fault, FaultError } from '../../../../src/base/fault.ts';
import { makeSocketPair } from '../../../../src/host/io/descriptors.ts';
import { faultOf } from '../../../support/fault-of.ts';
import { loopTurn, untilTrue } from '../../../support/turns.ts';
import { Former, NEW, PARCEL } from './former-stage.ts';

const { landMs, abortMs, recoverMs, probationMs, restartMs, successors, successorAgainMs, relayPollMs } =
  takeOverLimits;

const count = (former: Former, what: string): number => former.did.filter((one) => one === what).length;

test('F92 a hand-over: frozen, released, passed, and young for a while', async () => {
  const former = new Former();
  const steps: string[] = [];
  const stopWatching = former.handing.watch((step) => steps.push(step));
  await former.takeOver();
  stopWatching();
  expect(former.did).toEqual(['freeze', 'release', 'pass', `served by ${NEW}`, 'onPassed']);
  expect(steps.at(-1)).toBe(`daemon ${NEW} serves`);
  expect([former.handing.state, former.handing.isProbation]).toEqual(['passed', true]);
  await former.clock.advance(probationMs);
  expect(former.handing.isProbation).toBe(false);
  former.handing.settle();
});

test('a refusal has its reason, and nothing was stopped', async () => {
  const former = new Former();
  former.refusal = 'take over: another root';
  const { link } = former.meet();
  expect(await faultOf(link.expect('freezing', 1000))).toMatchObject({ message: 'take over: another root' });
  expect([former.did, former.handing.state]).toEqual([[], 'serving']);
});

test('a process that has gone is not handed to', async () => {
  const former = new Former();
  const { link, served } = former.meet(NEW, false);
  await served;
  expect(await faultOf(link.expect('freezing', 1000))).toMatchObject({
    message: `take over: process ${NEW} has gone`,
  });
  expect(former.did).toEqual([]);
});

test('while one daemon takes over another one is refused, as is each later one', async () => {
  const former = new Former();
  const effects = Promise.withResolvers<void>();
  former.effects = effects.promise;
  const { link, served } = former.meet();
  await link.expect('freezing', 1000);
  const second = former.meet(501).link;
  expect(await faultOf(second.expect('freezing', 1000))).toMatchObject({
    message: 'take over: another daemon is taking over',
  });
  effects.resolve();
  await link.expect('released', 1000);
  await link.send({ type: 'recovered' });
  await link.expect('passed', 1000);
  await link.send({ type: 'serving' });
  await served;
  const late = former.meet(502).link;
  expect(await faultOf(late.expect('freezing', 1000))).toMatchObject({
    message: 'take over: this daemon does not serve any more',
  });
});

test('F92 the new daemon goes before the release: this one goes on, and may be taken over from later', async () => {
  const former = new Former();
  former.effects = new Promise(() => undefined);
  const { link, served } = former.meet();
  await link.expect('freezing', 1000);
  link.close();
  await served;
  expect([former.did, former.handing.state]).toEqual([['freeze', 'thaw'], 'serving']);
  former.effects = Promise.resolve();
  await former.takeOver(501);
  expect(former.handing.state).toBe('passed');
});

test('F92 effects that do not end are aborted, then named in the refusal: this one goes on', async () => {
  const former = new Former();
  former.effects = new Promise(() => undefined);
  const { link, served } = former.meet();
  await link.expect('freezing', 1000);
  const refused = faultOf(link.expect('released', 10 * recoverMs));
  await former.clock.advance(landMs);
  expect([former.isLate, former.handing.state]).toEqual([true, 'handing']);
  await former.clock.advance(abortMs);
  await served;
  expect(await refused).toMatchObject({ message: expect.stringContaining('create of container/c1') });
  expect([former.did, former.handing.state]).toEqual([['freeze', 'thaw'], 'serving']);
});

test('F92 the new daemon ends after the release: a successor takes over, of the same lock and sockets', async () => {
  const former = new Former();
  const { link } = former.meet();
  await link.expect('freezing', 1000);
  await link.expect('released', 1000);
  former.running.delete(NEW);
  link.close();
  await untilTrue(() => former.did.includes('successor'));
  await former.takeOver(700);
  await former.passUntil(() => former.clock.timers.size === 0, relayPollMs);
  expect(former.did).toEqual([
    'freeze',
    'release',
    'listen',
    'successor',
    'pass',
    'served by 700',
    'onPassed',
  ]);
  expect(former.handing.state).toBe('passed');
});

test('F92 a new daemon that hangs in its recovery, or says anything else, is killed before a successor starts', async () => {
  for (const isSilent of [true, false]) {
    const former = new Former();
    const { link } = former.meet();
    await link.expect('freezing', 1000);
    await link.expect('released', 1000);
    if (isSilent) await former.clock.advance(recoverMs);
    else await link.send({ type: 'serving' });
    await untilTrue(() => former.did.includes('successor'));
    expect(former.did.slice(-3)).toEqual([`kill ${NEW}`, 'listen', 'successor']);
    await former.takeOver(700);
    expect(former.handing.state).toBe('passed');
  }
});

test('F92 the new daemon ends while it is young: a successor serves, and calls are passed on as before', async () => {
  const former = new Former();
  await former.takeOver();
  const rescued = former.handing.rescue();
  await former.clock.advance(relayPollMs);
  await untilTrue(() => former.did.includes('successor'));
  expect(former.handing.state).toBe('released');
  await former.takeOver(700);
  await former.clock.advance(relayPollMs);
  await rescued;
  expect([count(former, 'pass'), count(former, 'release'), count(former, 'successor')]).toEqual([2, 1, 1]);
});

test('F92 the new daemon ends as its probation does: the next one still gets lock and sockets (seed 17237)', async () => {
  const former = new Former();
  await former.takeOver();
  await former.clock.advance(probationMs - 1);
  const rescued = former.handing.rescue();
  await former.clock.advance(1);
  // as the daemon does, every half second
  expect(former.handing.isProbation).toBe(true);
  former.handing.settle();
  await former.clock.advance(relayPollMs);
  await untilTrue(() => former.handing.state === 'released');
  former.handing.settle();
  await former.takeOver(700);
  await former.clock.advance(relayPollMs);
  await rescued;
  expect([former.handing.state, count(former, 'thaw')]).toEqual(['passed', 0]);
});

test('F92 the new daemon has handed over in turn before it ended: the next one has the lock, and no other is started', async () => {
  const former = new Former();
  await former.takeOver();
  former.locker = 800;
  const rescued = former.handing.rescue();
  await former.clock.advance(relayPollMs);
  await rescued;
  expect([former.handing.state, count(former, 'listen'), count(former, 'successor')]).toEqual([
    'passed',
    0,
    0,
  ]);
});

test('F92 another daemon takes the lock without a word: calls are passed on to it', async () => {
  const former = new Former();
  former.successor = () => {
    former.locker = 800;
    throw new Error('no such file');
  };
  await former.takeOver();
  const rescued = former.handing.rescue();
  await former.clock.advance(relayPollMs);
  await rescued;
  expect(former.handing.state).toBe('passed');
  expect(former.did.slice(-3)).toEqual(['pass', 'served by 800', 'onPassed']);
});

/** One whose successor has ended, and which waits for the unit's next start. */
async function waitsForUnit(): Promise<{ readonly former: Former; readonly rescued: Promise<void> }> {
  const former = new Former();
  former.isUnderSystemd = true;
  await former.takeOver();
  const rescued = former.handing.rescue();
  await former.clock.advance(relayPollMs);
  await untilTrue(() => former.did.includes('listen'));
  return { former, rescued };
}

test('F92 under systemd the restarted unit comes first', async () => {
  const { former, rescued } = await waitsForUnit();
  await former.takeOver(700);
  await former.clock.advance(restartMs);
  await rescued;
  expect(count(former, 'successor')).toBe(0);
});

test('F92 under systemd the restarted unit may have the sockets already: it takes the lock without a word', async () => {
  const { former, rescued } = await waitsForUnit();
  former.locker = 800;
  await former.clock.advance(relayPollMs);
  await rescued;
  expect(former.handing.state).toBe('passed');
  expect(former.did.slice(-3)).toEqual(['pass', 'served by 800', 'onPassed']);
});

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

test('F92 a successor that took the lock without asking here serves: it is not killed (seed 210446)', async () => {
  const former = new Former();
  // another former daemon listens until then
  former.listenAgain = () => Promise.reject(new FaultError(fault('conflict', 'another one listens')));
  former.successor = () => (former.locker = 700);
  await former.takeOver();
  const rescued = former.handing.rescue();
  await former.passUntil(() => former.did.includes('served by 700'), relayPollMs);
  await rescued;
  await former.clock.advance(2 * recoverMs);
  expect(former.did.filter((one) => one.startsWith('kill'))).toEqual([]);
  expect([former.handing.state, count(former, 'successor')]).toEqual(['passed', 1]);
});

test('F92 a successor that has the lock and still recovers is young until it has served for a while', async () => {
  const former = new Former();
  former.listenAgain = () => Promise.reject(new FaultError(fault('conflict', 'another one listens')));
  former.successor = () => (former.locker = 700);
  await former.takeOver();
  const rescued = former.handing.rescue();
  await former.passUntil(() => former.did.includes('served by 700'), relayPollMs);
  await rescued;
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
