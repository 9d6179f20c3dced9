// Parts of the start that come late: reported, taken once they are there, and closed at the end whenever they come
// (F89).
import { expect, test } from 'vitest';
import { Conditions } from '../../../../src/base/conditions.ts';
import { FaultError, fail, fault } from '../../../../src/base/fault.ts';
import { launchLimits } from '../../../../src/daemon/bounds.ts';
import { silentLog } from '../../../../src/base/log.ts';
import { LatePart, orLater, orWithout } from '../../../../src/daemon/wiring/optional-part.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { turns } from '../../../support/turns.ts';

class Listener {
  closed = 0;
  close(): Promise<void> {
    this.closed += 1;
    return Promise.resolve();
  }
}

function bench() {
  const clock = new HandClock();
  const conditions = new Conditions(silentLog);
  const coming: PromiseWithResolvers<Listener>[] = [];
  const part = new LatePart({ clock, conditions }, 'page', () => {
    const next = Promise.withResolvers<Listener>();
    coming.push(next);
    return next.promise;
  });
  const subjects = (): readonly string[] => conditions.all().map(({ subject }) => subject);
  return { clock, conditions, coming, part, subjects };
}

async function tooLate(clock: HandClock, work: Promise<unknown>): Promise<void> {
  clock.fire(launchLimits.partMs);
  await work;
}

test('F89 a hanging part is reported; once ready it is used, and closed at the end', async () => {
  const { clock, coming, part, subjects } = bench();
  await tooLate(clock, part.start());
  expect([part.value, subjects()]).toEqual([undefined, ['page']]);
  const listener = new Listener();
  coming[0]?.resolve(listener);
  await turns();
  expect([part.value, subjects()]).toEqual([listener, []]);
  await part.close();
  expect(listener.closed).toBe(1);
});

test('F89 a part that is ready after the end is closed', async () => {
  const { clock, coming, part } = bench();
  await tooLate(clock, part.start());
  await part.close();
  const listener = new Listener();
  coming[0]?.resolve(listener);
  await turns();
  expect([part.value, listener.closed]).toEqual([undefined, 1]);
});

test('a part that fails after its end is not reported: another one may have its name', async () => {
  const { coming, part, subjects } = bench();
  const starting = part.start();
  await part.close();
  coming[0]?.reject(new Error('EIO'));
  await starting;
  expect(subjects()).toEqual([]);
});

test('F89 another attempt waits for the one under way, and starts again after a failed one', async () => {
  const { clock, coming, part, subjects } = bench();
  await tooLate(clock, part.start());
  const second = part.now();
  coming[0]?.reject(new Error('EADDRINUSE'));
  await expect(second).rejects.toThrow('EADDRINUSE');
  const third = part.now();
  const listener = new Listener();
  coming[1]?.resolve(listener);
  expect(await third).toBe(listener);
  expect([coming.length, subjects()]).toEqual([2, []]);
  expect(await part.now()).toBe(listener);
});

test('F89 another attempt has the same bound, and none begins after the end', async () => {
  const { clock, coming, part } = bench();
  await tooLate(clock, part.start());
  const again = part.now();
  clock.fire(launchLimits.partMs);
  await expect(again).rejects.toMatchObject({ fault: { kind: 'timedOut' } });
  await part.close();
  coming[0]?.reject(new Error('EIO'));
  await turns();
  await expect(part.now()).rejects.toMatchObject({ fault: { kind: 'notReady' } });
  expect(coming).toHaveLength(1);
});

test('a configuration error ends the start', async () => {
  const report = { clock: new HandClock(), conditions: new Conditions(silentLog) };
  const wrong = new LatePart<Listener>(report, 'page', () =>
    Promise.resolve().then(() => fail('invalidRequest', 'not a loopback address')),
  );
  await expect(wrong.start()).rejects.toThrow('not a loopback address');
});

test('F89 a listening part is retried until it is ready or the daemon ends', async () => {
  const clock = new HandClock();
  const conditions = new Conditions(silentLog);
  let free = false;
  let tries = 0;
  const listener = new Listener();
  const make = () =>
    new LatePart(
      { clock, conditions },
      'page',
      async () => {
        tries += 1;
        return free ? listener : fail('outside', 'listen on port 80: EADDRINUSE');
      },
      { againMs: launchLimits.partAgainMs + 1 },
    );
  const again = async (): Promise<void> => {
    clock.fire(launchLimits.partAgainMs + 1);
    await turns();
  };
  const part = make();
  await part.start();
  await again();
  expect([tries, conditions.all().map(({ reason }) => reason)]).toEqual([
    2,
    ['listen on port 80: EADDRINUSE'],
  ]);
  free = true;
  await again();
  await again();
  expect([tries, part.value, conditions.all(), clock.timers.size]).toEqual([3, listener, [], 0]);
  free = false;
  const other = make();
  await other.start();
  await other.close();
  expect(clock.timers.size).toBe(0);
  await again();
  expect(tries).toBe(4);
});

test('a part that is not configured is not retried', async () => {
  const clock = new HandClock();
  const part = new LatePart({ clock, conditions: new Conditions(silentLog) }, 'page', async () => undefined, {
    againMs: launchLimits.partAgainMs,
  });
  await part.start();
  expect(clock.timers.size).toBe(0);
});

test('F89 a part that is useful only at the start stays reported when it is late', async () => {
  const { clock, conditions, subjects } = bench();
  const work = Promise.withResolvers<string>();
  const got = orWithout({ clock, conditions }, 'processor features', () => work.promise, 'plain');
  await tooLate(clock, got);
  work.resolve('v3');
  await turns();
  expect([await got, subjects()]).toEqual(['plain', ['processor features']]);
});

test('F89 work without a result is no longer reported once it is done', async () => {
  const { clock, conditions, subjects } = bench();
  const work = Promise.withResolvers<undefined>();
  await tooLate(
    clock,
    orLater({ clock, conditions }, 'directory of namespaces', () => work.promise),
  );
  expect(subjects()).toEqual(['directory of namespaces']);
  work.resolve(undefined);
  await turns();
  expect(subjects()).toEqual([]);
});

test('F89 work with a longer bound of its own is not waited for, and reported only past that bound', async () => {
  const { clock, conditions, subjects } = bench();
  const coming = Promise.withResolvers<Listener>();
  const part = new LatePart({ clock, conditions }, 'nri', () => coming.promise, { reportedMs: 27_000 });
  await tooLate(clock, part.start());
  expect([part.value, subjects()]).toEqual([undefined, []]);
  clock.fire(27_000);
  await turns();
  expect(subjects()).toEqual(['nri']);
  coming.resolve(new Listener());
  await turns();
  expect(subjects()).toEqual([]);
});

test('F89 a configuration error ends the start, and is a condition once nobody waits', async () => {
  const { clock, conditions, subjects } = bench();
  const coming = Promise.withResolvers<Listener>();
  const refused = (): Promise<Listener> =>
    Promise.reject(new FaultError(fault('invalidRequest', 'nri.socket: too long')));
  await expect(
    new LatePart({ clock, conditions }, 'nri', refused, { reportedMs: 27_000 }).start(),
  ).rejects.toThrow('too long');
  expect([clock.timers.size, subjects()]).toEqual([0, []]);
  await tooLate(
    clock,
    new LatePart({ clock, conditions }, 'nri', () => coming.promise, { reportedMs: 27_000 }).start(),
  );
  coming.reject(new FaultError(fault('invalidRequest', 'nri.socket: too long')));
  await turns();
  expect(subjects()).toEqual(['nri']);
});
