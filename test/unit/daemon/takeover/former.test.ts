// The daemon that hands its node over: each path of its states, whoever fails, and that one serves in the end (F92).
import { expect, test } from 'vitest';
import { takeOverLimits } from '../../../../src/daemon/bounds.ts';
import { faultOf } from '../../../support/fault-of.ts';
import { untilTrue } from '../../../support/turns.ts';
import { count, Former, NEW } from './former-stage.ts';

const { landMs, abortMs, recoverMs, probationMs, restartMs, relayPollMs } = takeOverLimits;

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
  expect(former.isOff).toBe(true);
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
