import { expect, it } from 'vitest';
import { Activity } from '../../../../src/actors/effects/activity.ts';
import type { EffectContext } from '../../../../src/ports/effect.ts';
import { endedByHandOver, restated } from '../../../../src/base/fault.ts';
import { faultOf } from '../../../support/fault-of.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { turns } from '../../../support/turns.ts';

const OWNER = 'container/c1';
const NEVER = new AbortController().signal;

function bench() {
  const clock = new HandClock();
  const activity = new Activity(clock);
  const begun: string[] = [];
  const caller = new AbortController();
  const run = (effect: string, until: Promise<void> = Promise.resolve()): Promise<void> =>
    activity.run(OWNER, effect, 1000, caller.signal, (fx: EffectContext) => {
      begun.push(effect);
      return new Promise<void>((resolve, reject) => {
        fx.signal.addEventListener('abort', () => reject(fx.signal.reason as Error), { once: true });
        void until.then(resolve);
      });
    });
  return { clock, activity, begun, caller, run };
}

it('F92 a frozen gate lets records of what has landed begin, and sessions, and nothing else', async () => {
  const { activity, begun, run } = bench();
  activity.gate.become('frozen');
  for (const effect of ['create', 'recordIntent', 'undo network', 'recordCreated', 'execSync', 'usage'])
    void run(effect);
  await turns();
  expect(begun).toEqual(['recordCreated', 'execSync', 'usage']);
  activity.gate.become('shut');
  for (const effect of ['recordExit', 'attach']) void run(effect);
  await turns();
  expect(begun).toEqual(['recordCreated', 'execSync', 'usage', 'attach']);
});

it('F92 when the gate opens again, what waited begins, with its whole time', async () => {
  const { clock, activity, begun, run } = bench();
  activity.gate.become('frozen');
  const result = run('create');
  await turns();
  await clock.advance(3_600_000);
  expect(begun).toEqual([]);
  activity.gate.become('open');
  await result;
  expect(begun).toEqual(['create']);
  expect(activity.gate.size).toBe(0);
});

it('F92 an effect that is no longer wanted does not wait at the gate', async () => {
  const { activity, caller, begun, run } = bench();
  activity.gate.become('frozen');
  const result = run('create');
  await turns();
  caller.abort(new Error('removed'));
  await expect(result).rejects.toThrow('removed');
  expect(begun).toEqual([]);
  expect(activity.gate.size).toBe(0);
});

it('F92 landing waits for effects in progress and their records, not for sessions; a pull ends at once', async () => {
  const { clock, activity, run } = bench();
  const ends = Promise.withResolvers<void>();
  const creation = run('create', ends.promise).then(() => run('recordCreated'));
  void run('exec', new Promise(() => undefined)).catch(() => undefined);
  const pull = run('fetchLayers', new Promise(() => undefined));
  await turns();
  activity.gate.become('frozen');
  let isLanded = false;
  const landed = activity.landed(NEVER, NEVER).then(() => (isLanded = true));
  await expect(pull).rejects.toThrow('another daemon takes over');
  expect(activity.landing()).toEqual([`create of ${OWNER}`]);
  ends.resolve();
  await creation;
  await clock.advance(0);
  await clock.advance(0);
  await landed;
  expect(isLanded).toBe(true);
});

it('F92 what has not landed in time is aborted', async () => {
  const { clock, activity, run } = bench();
  const creation = run('create', new Promise(() => undefined));
  await turns();
  activity.gate.become('frozen');
  const late = new AbortController();
  const landed = activity.landed(late.signal, NEVER);
  late.abort();
  await expect(creation).rejects.toThrow('another daemon takes over');
  await turns();
  await clock.advance(0);
  await landed;
});

it('F92 a landing that was called off aborts nothing of what begins afterwards', async () => {
  const { clock, activity, run } = bench();
  const ends = Promise.withResolvers<void>();
  const creation = run('create', ends.promise);
  await turns();
  activity.gate.become('frozen');
  const [late, off] = [new AbortController(), new AbortController()];
  const landed = activity.landed(late.signal, off.signal);
  off.abort();
  activity.gate.become('open');
  await landed;
  const downloaded = Promise.withResolvers<void>();
  const pull = run('fetchLayers', downloaded.promise);
  ends.resolve();
  await creation;
  late.abort();
  await clock.advance(0);
  downloaded.resolve();
  await pull;
});

it('F92 whatever an aborted effect says, its fault shows that a hand-over has ended it; others do not', async () => {
  const { clock, activity } = bench();
  const caller = new AbortController().signal;
  const failing = (effect: string, isAborted: boolean): Promise<void> =>
    activity.run(OWNER, effect, 1000, caller, async ({ signal }) => {
      if (isAborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      throw new Error('runc was killed');
    });
  const [early, aborted] = [failing('create', false), failing('fetchLayers', true)];
  const faults = Promise.all([faultOf(early), faultOf(aborted)]);
  await turns();
  activity.gate.become('frozen');
  const landed = activity.landed(NEVER, NEVER);
  const [first, second] = await faults;
  expect([endedByHandOver(first), endedByHandOver(second)]).toEqual([false, true]);
  expect(endedByHandOver(restated('outside', 'CreateContainer: it failed', second))).toBe(true);
  await turns();
  await clock.advance(0);
  await landed;
});
