import { describe, expect, it } from 'vitest';
import { Activity } from '../../../../src/actors/effects/activity.ts';
import { ask } from '../../../../src/actors/directory/ask.ts';
import type { Outcome, Question } from '../../../../src/actors/directory/ask.ts';
import { Directory } from '../../../../src/actors/directory/directory.ts';
import type { ContainerEvent } from '../../../../src/actors/container/container.context.ts';
import type { ContainerState } from '../../../../src/actors/directory/states.ts';
import type { View } from '../../../../src/actors/directory/views.ts';
import { innerCause } from '../../../../src/base/cause.ts';
import { fault, FaultError } from '../../../../src/base/fault.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { turns } from '../../../support/turns.ts';
import { containerView, recordingRef } from '../fixtures.ts';

const STOP: ContainerEvent = { type: 'container.stop', graceMs: 0, nowMonoMs: 0, nowNs: 0n };
const { address, id } = containerView('running');

function bench(state: ContainerState = 'running') {
  const clock = new HandClock();
  const directory = new Directory();
  const activity = new Activity(clock);
  const { ref, sent } = recordingRef();
  const put = (now: ContainerState, part = {}): void => directory.put(containerView(now, part), ref);
  put(state);
  const controller = new AbortController();
  const stop = (deadlineMs?: number, answer = whenExited): Promise<string> =>
    ask(
      { directory, activity, clock },
      {
        cause: innerCause('test'),
        signal: controller.signal,
        deadlineMonoMs: deadlineMs === undefined ? undefined : clock.monoMs() + deadlineMs,
      },
      {
        address,
        attempted: `StopContainer ${id}`,
        command: STOP,
        answer,
      },
    );
  return { clock, directory, activity, sent, put, controller, stop };
}

const whenExited: Question<string>['answer'] = (
  view: View | undefined,
  gone: boolean,
): Outcome<string> | undefined => {
  if (gone) return { ok: view === undefined ? 'never was' : 'gone' };
  return view?.state === 'exited' ? { ok: 'exited' } : undefined;
};

describe('ask', () => {
  it('sends the command and waits for the state', async () => {
    const { sent, put, stop, clock } = bench();
    const answer = stop();
    expect(sent.map(({ type }) => type)).toEqual(['container.stop']);
    put('stopping', { path: 'stopping.waiting', settled: false });
    put('exited');
    expect(await answer).toBe('exited');
    expect(clock.timers.size).toBe(0);
  });

  it('sees a state that the command itself causes, since it subscribes before it sends', async () => {
    const { directory, clock, activity } = bench();
    const ref = { send: () => directory.put(containerView('exited'), ref as never) };
    directory.put(containerView('running'), ref as never);
    const answer = ask(
      { directory, activity, clock },
      { cause: innerCause('test'), signal: new AbortController().signal, deadlineMonoMs: undefined },
      {
        address,
        attempted: 'x',
        command: STOP,
        answer: whenExited,
      },
    );
    expect(await answer).toBe('exited');
  });

  it('an ended actor is an answer, and an unknown one, too', async () => {
    const { directory, stop } = bench();
    const answer = stop();
    directory.drop(containerView('gone'));
    expect(await answer).toBe('gone');
    expect(await stop()).toBe('never was');
  });

  it('rejects with the fault of the answer', async () => {
    const { stop } = bench('exited');
    await expect(
      stop(undefined, () => ({ fault: fault('wrongState', 'start c: it is exited') })),
    ).rejects.toMatchObject({ fault: { kind: 'wrongState' } });
  });

  it('at the deadline names the state path and the reason of the wait; the actor goes on, and a retry gets the result', async () => {
    const { clock, activity, put, stop } = bench();
    put('stopping', { path: 'stopping.killing', settled: false });
    void activity.run(address, 'killAll', 60_000, new AbortController().signal, (fx) => {
      fx.note({ on: 'runc kill', pid: 12 });
      return new Promise<void>(() => undefined);
    });
    await turns();
    const answer = stop(2000);
    const rejected = expect(answer).rejects.toMatchObject({
      fault: {
        kind: 'timedOut',
        retryable: true,
        subject: address,
        message: `StopContainer ${id}: deadline passed in state stopping.killing, waiting on runc kill (pid 12) for 2.0 s; the work goes on, the same call joins it`,
      },
    });
    await clock.advance(2000);
    await rejected;
    expect(activity.of(address)).toHaveLength(1);
    const again = stop(2000);
    put('exited');
    expect(await again).toBe('exited');
  });

  it('is answered at once when the actors are stopped, and so is what asks after it', async () => {
    const { clock, directory, put, stop } = bench();
    put('stopping', { path: 'stopping.killing', settled: false });
    const stopping = {
      fault: {
        kind: 'notReady',
        retryable: true,
        subject: address,
        message: `StopContainer ${id}: the daemon is stopping, in state stopping.killing; the next start continues it`,
      },
    };
    const answer = expect(stop(2000)).rejects.toMatchObject(stopping);
    directory.end();
    await answer;
    await expect(stop(2000)).rejects.toMatchObject(stopping);
    expect(clock.timers.size).toBe(0);
  });

  it('F88 a server that ends its calls since it stops is not a caller that has gone', async () => {
    const { controller, put, stop } = bench();
    put('stopping', { path: 'stopping.killing', settled: false });
    const answer = expect(stop(2000)).rejects.toMatchObject({
      fault: { kind: 'notReady', message: expect.stringContaining('the daemon is stopping') },
    });
    controller.abort(new FaultError(fault('notReady', 'troupe is stopping')));
    await answer;
  });

  it('names the process that was killed and has not ended', async () => {
    const { clock, put, stop } = bench();
    const init = { pid: 12, startTicks: 1n, bootId: 'boot' };
    put('stopping', { path: 'stopping.killed', settled: false, init });
    const answer = expect(stop(2000)).rejects.toMatchObject({
      fault: {
        message: `StopContainer ${id}: deadline passed in state stopping.killed, waiting on the exit of process 12; the work goes on, the same call joins it`,
      },
    });
    await clock.advance(2000);
    await answer;
  });

  it('says so when the actor waits on nothing, and when it is no longer known', async () => {
    const { clock, stop } = bench();
    const answer = expect(stop(0)).rejects.toMatchObject({
      fault: {
        message: `StopContainer ${id}: deadline passed in state running; the work goes on, the same call joins it`,
      },
    });
    await clock.advance(0);
    await answer;
  });

  it('ends when the caller aborts; sends nothing when it aborted before', async () => {
    const { controller, stop, sent, put } = bench();
    const answer = expect(stop()).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
    controller.abort();
    await answer;
    expect(sent).toHaveLength(1);
    await expect(stop()).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
    expect(sent).toHaveLength(1);
    put('exited');
    await turns();
  });

  it('repeats the command once to an actor rebuilt after a crash, and to no other (F16)', async () => {
    const { directory, sent, put, stop } = bench();
    const answer = stop();
    put('stopping', { path: 'stopping.waiting', settled: false });
    const rebuilt = recordingRef();
    directory.put(containerView('recovering', { settled: false }), rebuilt.ref);
    directory.put(containerView('running'), rebuilt.ref);
    expect([sent.length, rebuilt.sent.map(({ type }) => type)]).toEqual([1, ['container.stop']]);
    directory.put(containerView('exited'), rebuilt.ref);
    expect(await answer).toBe('exited');
    directory.put(containerView('running'), recordingRef().ref);
    expect(rebuilt.sent).toHaveLength(1);
  });

  it('answers once: later states change nothing and send nothing', async () => {
    const { clock, put, stop } = bench();
    let asked = 0;
    const answer = stop(1000, (view) => {
      asked += 1;
      return view?.state === 'exited' ? { ok: 'exited' } : undefined;
    });
    put('exited');
    put('removing', { settled: false });
    await clock.advance(5000);
    expect(await answer).toBe('exited');
    expect(asked).toBe(2);
  });
});
