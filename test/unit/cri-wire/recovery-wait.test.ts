// Calls that come while the daemon recovers.
import { expect, test } from 'vitest';
import { edgeLimits } from '../../../src/cri/bounds.ts';
import { fail, fault, FaultError } from '../../../src/base/fault.ts';
import { silentLog } from '../../../src/base/log.ts';
import { deadlineMarginMs, edgeMethods } from '../../../src/cri/call/edge.ts';
import { RecoveryWait } from '../../../src/cri/call/recovery-wait.ts';
import { HandClock } from '../../support/hand-clock.ts';

const REFUSED = { status: { code: 'unavailable', message: 'ListImages: troupe is not ready: recovering' } };

/** Calls of a daemon that begins to recover now; `asked` counts those that reach a handler. */
function recovering() {
  const clock = new HandClock();
  const recovery = new RecoveryWait(clock);
  const state = { asked: 0, reason: 'recovering' as string | undefined };
  const methods = edgeMethods({
    clock,
    random: { token: () => 'r' },
    log: silentLog,
    notReadyReason: () => state.reason,
    recovery: recovery.pending,
    runtime: { version: () => Promise.resolve({}) },
    image: {
      listImages: () => {
        state.asked += 1;
        return Promise.resolve({});
      },
    },
  });
  const client = new AbortController();
  const call = (name: string, deadlineMonoMs?: number): Promise<unknown> =>
    (methods[`runtime.v1.${name}`] ?? fail('bug', `no method ${name}`))(new Uint8Array(), {
      signal: client.signal,
      ...(deadlineMonoMs === undefined ? {} : { deadlineMonoMs }),
    });
  return {
    clock,
    recovery,
    state,
    client,
    list: (deadlineMonoMs?: number) => call('ImageService/ListImages', deadlineMonoMs),
    version: () => call('RuntimeService/Version'),
  };
}

test('wait for its end and are served then; they count as in flight, and Version does not wait', async () => {
  const { recovery, state, list, version } = recovering();
  const calls = Array.from({ length: edgeLimits.inFlightCalls }, () => list());
  await expect(list()).rejects.toMatchObject({ status: { code: 'resourceExhausted' } });
  await version();
  expect(state.asked).toBe(0);
  state.reason = undefined;
  recovery.end();
  await Promise.all(calls);
  expect(state.asked).toBe(edgeLimits.inFlightCalls);
  expect(recovery.pending()).toBeUndefined();
});

test('hear before their deadline what is going on', async () => {
  const { clock, recovery, state, list } = recovering();
  const soon = expect(list(2000)).rejects.toMatchObject(REFUSED);
  const later = list(edgeLimits.recoveryMs * 2);
  await clock.advance(2000 - deadlineMarginMs(2000));
  await soon;
  state.reason = undefined;
  recovery.end();
  await later;
  expect([state.asked, clock.timers.size]).toEqual([1, 0]);
});

test('are never begun where their client has gone meanwhile, and leave their room to others', async () => {
  const { client, recovery, state, list } = recovering();
  const calls = Array.from({ length: edgeLimits.inFlightCalls }, () => list());
  client.abort(new FaultError(fault('cancelled', 'the caller has gone')));
  for (const call of calls) await expect(call).rejects.toMatchObject({ status: { code: 'cancelled' } });
  await expect(list()).rejects.toMatchObject({ status: { code: 'cancelled' } });
  state.reason = undefined;
  recovery.end();
  await recovery.pending();
  expect(state.asked).toBe(0);
});

test('are refused where it takes long, later ones at once', async () => {
  const { clock, state, list } = recovering();
  const waiting = expect(list()).rejects.toMatchObject(REFUSED);
  await clock.advance(edgeLimits.recoveryMs);
  await waiting;
  await expect(list()).rejects.toMatchObject(REFUSED);
  expect(state.asked).toBe(0);
});
