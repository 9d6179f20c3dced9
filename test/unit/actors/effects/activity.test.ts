import { describe, expect, it } from 'vitest';
import { Activity } from '../../../../src/actors/effects/activity.ts';
import type { EffectContext } from '../../../../src/ports/effect.ts';
import { FaultError, fault } from '../../../../src/base/fault.ts';
import { actorLimits } from '../../../../src/actors/bounds.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { turns } from '../../../support/turns.ts';

const OWNER = 'container/c1';
const forever = (): Promise<void> => new Promise<void>(() => undefined);
/** A driver that keeps to the rules: ends on abort. */
const obedient = (fx: EffectContext): Promise<void> =>
  new Promise<void>((_resolve, reject) => {
    fx.signal.addEventListener('abort', () => reject(new FaultError(fault('cancelled', 'ended on abort'))));
  });

function bench() {
  const clock = new HandClock();
  const activity = new Activity(clock);
  const controller = new AbortController();
  const run = <T>(work: (fx: EffectContext) => Promise<T>, effect = 'create', ms = 1000): Promise<T> =>
    activity.run(OWNER, effect, ms, controller.signal, work);
  return { clock, activity, controller, run };
}

describe('Activity', () => {
  it('passes on the result, and then keeps neither the effect nor a timer', async () => {
    const { clock, activity, run } = bench();
    expect(await run(() => Promise.resolve(7))).toBe(7);
    expect(activity.of(OWNER)).toEqual([]);
    expect(clock.timers.size).toBe(0);
  });

  it('shows what an actor waits on, with pid and time, oldest first', async () => {
    const { clock, activity, run } = bench();
    void run((fx) => {
      fx.note({ on: 'conmon' });
      fx.note({ on: 'runc create', pid: 4711 });
      return forever();
    });
    await clock.advance(300);
    void run(forever, 'recordExit');
    await clock.advance(200);
    expect(activity.describe(OWNER)).toBe('runc create (pid 4711) for 0.5 s, recordExit for 0.2 s');
    expect(activity.describe('container/other')).toBe('');
  });

  it('gives the driver its bound, and fails a grace later with `timedOut` and the reason of the wait', async () => {
    const { clock, activity, run } = bench();
    let reported = 0;
    const result = run((fx) => {
      reported = fx.timeoutMs;
      fx.note({ on: 'CNI ADD bridge' });
      return forever();
    });
    const rejected = expect(result).rejects.toMatchObject({
      fault: { kind: 'timedOut', message: 'create: timed out after 1000 ms waiting for CNI ADD bridge' },
    });
    await clock.advance(1000 + actorLimits.driverGraceMs - 1);
    expect(activity.of(OWNER)).toHaveLength(1);
    await clock.advance(1);
    await rejected;
    expect(reported).toBe(1000);
    expect(activity.of(OWNER)).toEqual([]);
  });

  it('the result of a driver that ends within the grace is used', async () => {
    const { clock, run } = bench();
    let refuse: (reason: unknown) => void = () => undefined;
    const result = run(
      () =>
        new Promise<void>((_resolve, reject) => {
          refuse = reject;
        }),
    );
    await clock.advance(1000);
    refuse(new FaultError(fault('timedOut', 'runc create: killed after 1000 ms')));
    await expect(result).rejects.toMatchObject({ fault: { message: 'runc create: killed after 1000 ms' } });
  });

  it('passes an abort on to the driver', async () => {
    const { controller, run } = bench();
    const result = run(obedient);
    await turns();
    controller.abort(new Error('left the state'));
    await expect(result).rejects.toMatchObject({ fault: { message: 'ended on abort' } });
  });

  it('never begins an aborted effect', async () => {
    const { controller, run, activity } = bench();
    let begun = 0;
    const count = (): Promise<void> => {
      begun += 1;
      return Promise.resolve();
    };
    await expect(activity.run(OWNER, 'late', 10, AbortSignal.abort(), count)).rejects.toMatchObject({
      fault: { kind: 'cancelled' },
    });
    const result = run(count);
    controller.abort();
    await expect(result).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
    expect(begun).toBe(0);
  });

  it('a driver that throws is treated like one that rejects, and its error becomes a fault', async () => {
    const { run } = bench();
    const thrower = (): Promise<void> => {
      throw new TypeError('x is not a function');
    };
    await expect(run(thrower)).rejects.toMatchObject({
      fault: { kind: 'bug', message: 'x is not a function' },
    });
  });

  it('ends all effects of one actor, waits for each, and leaves those of others alone', async () => {
    const { activity, run } = bench();
    const mine = [run(obedient), run(obedient, 'start')].map((result) => result.catch(() => 'ended'));
    const other = activity.run('container/c2', 'create', 1000, new AbortController().signal, forever);
    await turns();
    let done = false;
    void activity.endAll(OWNER).then(() => {
      done = true;
    });
    expect(await Promise.all(mine)).toEqual(['ended', 'ended']);
    await turns();
    expect(done).toBe(true);
    expect(activity.of('container/c2')).toHaveLength(1);
    void other;
  });

  it('endAll is bounded by the bounds of the effects, whatever the drivers do', async () => {
    const { clock, activity, run } = bench();
    run(forever).catch(() => undefined);
    await turns();
    let done = false;
    void activity.endAll(OWNER).then(() => {
      done = true;
    });
    await clock.advance(1000 + actorLimits.driverGraceMs);
    expect(done).toBe(true);
  });

  it('F91 answers a call at its deadline with what its effect waits on, and aborts the effect', async () => {
    const { clock, activity, controller } = bench();
    let aborted = false;
    const answer = activity.runForCall(
      { signal: controller.signal, deadlineMonoMs: clock.monoMs() + 3000 },
      { attempted: 'RemoveImage busybox', owner: OWNER, effect: 'removeImage', timeoutMs: 110_000 },
      (fx) => {
        fx.note({ on: 'journal sync' });
        fx.signal.addEventListener('abort', () => (aborted = true));
        return forever();
      },
    );
    const rejected = expect(answer).rejects.toMatchObject({
      fault: {
        kind: 'timedOut',
        message: 'RemoveImage busybox: deadline passed, waiting on journal sync for 3.0 s',
      },
    });
    await turns();
    await clock.advance(3000);
    await rejected;
    expect(aborted).toBe(true);
  });

  it('an effect of a call ends when its caller goes, and leaves no timer', async () => {
    const { clock, activity, controller } = bench();
    const call = { signal: controller.signal, deadlineMonoMs: clock.monoMs() + 3000 };
    const effect = { attempted: 'RemoveImage busybox', owner: OWNER, effect: 'removeImage', timeoutMs: 1000 };
    expect(await activity.runForCall(call, effect, () => Promise.resolve(7))).toBe(7);
    const answer = activity.runForCall(call, effect, obedient);
    await turns();
    controller.abort();
    await expect(answer).rejects.toMatchObject({ fault: { message: 'ended on abort' } });
    expect(clock.timers.size).toBe(0);
  });
});
