// Who reports metrics and traces: the edge of each call, `ask` of each call that waits on an actor, `Activity` of each
// effect.
import type { AnyActorRef } from 'xstate';
import { describe, expect, test } from 'vitest';
import { Activity } from '../../../src/actors/effects/activity.ts';
import { ask } from '../../../src/actors/directory/ask.ts';
import { Directory } from '../../../src/actors/directory/directory.ts';
import { fail } from '../../../src/base/fault.ts';
import { actorLimits } from '../../../src/actors/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import { edgeMethods } from '../../../src/cri/call/edge.ts';
import type { RpcContext } from '../../../src/cri/call/edge.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { turns } from '../../support/turns.ts';
import { sandbox } from './stage.ts';

const client = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const ours = '00-0af7651916cd43dd8448eb211c80319c-1111111111111111-01';
const idle = new AbortController().signal;

function observed() {
  const clock = new HandClock();
  const activity = new Activity(clock);
  const reported: string[] = [];
  activity.observe({
    asked: (owner, { requestId }) => void reported.push(`asked ${owner.slice(0, 9)} ${requestId}`),
    answered: (owner, { requestId }, isSettled) =>
      void reported.push(`answered ${owner.slice(0, 9)} ${requestId} ${isSettled}`),
    ended: ({ effect, outcome, fault, sinceMonoMs, endMonoMs }) =>
      void reported.push(`${effect} ${outcome} ${fault?.kind ?? '-'} ${endMonoMs - sinceMonoMs}`),
  });
  return { clock, activity, reported };
}

describe('effects', () => {
  test('are reported with outcome and duration', async () => {
    const { clock, activity, reported } = observed();
    const end = (work: () => Promise<unknown>, signal = idle): Promise<unknown> =>
      activity.run('sandbox/a', 'undo', 1000, signal, work).catch(() => undefined);
    await end(() => clock.advance(20));
    await end(() => fail('outside', 'no'));
    await end(() => fail('cancelled', 'gone'));
    const late = end(() => new Promise(() => undefined));
    await turns();
    expect(activity.all().map(({ effect }) => effect)).toEqual(['undo']);
    await clock.advance(1000 + actorLimits.driverGraceMs);
    await late;
    expect(reported).toEqual([
      'undo ok - 20',
      'undo failed outside 0',
      'undo cancelled cancelled 0',
      `undo timedOut timedOut ${1000 + actorLimits.driverGraceMs}`,
    ]);
    expect(activity.all()).toEqual([]);
  });
});

describe('ask', () => {
  test('reports for which call an actor works, and how the call ended', async () => {
    const { clock, activity, reported } = observed();
    const directory = new Directory();
    const moving = sandbox(1, 'stopping.undoing');
    directory.put(moving, { send: () => undefined } as Partial<AnyActorRef> as AnyActorRef);
    const question = (requestId: string, deadlineMonoMs: number | undefined) =>
      ask(
        { directory, activity, clock },
        { cause: { requestId, origin: 'StopPodSandbox' }, signal: idle, deadlineMonoMs },
        {
          address: moving.address,
          attempted: 'stop',
          answer: (view) => (view?.settled === true ? { ok: true } : undefined),
        },
      );
    const late = question('late', clock.monoMs() + 10).catch(() => undefined);
    const patient = question('patient', undefined);
    await clock.advance(10);
    await late;
    directory.put({ ...moving, path: 'notReady', state: 'notReady', settled: true }, {} as AnyActorRef);
    await patient;
    expect(reported).toEqual([
      'asked sandbox/a late',
      'asked sandbox/a patient',
      'answered sandbox/a late false',
      'answered sandbox/a patient true',
    ]);
  });
});

describe('the edge', () => {
  const call = async (handler: (context: RpcContext) => Promise<object>) => {
    const reported: unknown[] = [];
    let context: RpcContext | undefined;
    let polls = 0;
    const methods = edgeMethods({
      clock: { monoMs: () => 4 * polls++ },
      random: { token: () => 'r1' },
      log: silentLog,
      notReadyReason: () => undefined,
      observer: {
        begin: (cause) => {
          reported.push(cause);
          return {
            traceparent: ours,
            ended: (code, latencyMs, fault) => void reported.push([code, latencyMs > 0, fault?.kind]),
          };
        },
      },
      runtime: { version: (_request, given) => handler((context = given)) },
    });
    await methods['runtime.v1.RuntimeService/Version']?.(new Uint8Array(), {
      signal: idle,
      traceparent: client,
    }).catch(() => undefined);
    return { reported, context };
  };

  test('reports each call’s begin and end; what the call causes belongs to our span', async () => {
    const { reported, context } = await call(() => Promise.resolve({}));
    expect(reported).toEqual([
      { requestId: 'r1', origin: 'Version', traceparent: client },
      ['ok', true, undefined],
    ]);
    expect(context?.cause).toEqual({ requestId: 'r1', origin: 'Version', traceparent: ours });
  });

  test('a fault ends it with its code', async () => {
    const { reported } = await call(() => fail('timedOut', 'late'));
    expect(reported[1]).toEqual(['deadlineExceeded', true, 'timedOut']);
  });
});
