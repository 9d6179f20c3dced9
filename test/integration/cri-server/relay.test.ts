// A daemon that has handed over asks the one that serves, over the socket.
import { create, toBinary } from '@bufbuild/protobuf';
import { expect, onTestFinished, test } from 'vitest';
import {
  ContainerStatusResponseSchema,
  StartContainerRequestSchema,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { relayTo } from '../../../src/cri/call/relay.ts';
import type { CallContext } from '../../../src/cri/call/server.ts';
import { fault, FaultError } from '../../../src/base/fault.ts';
import { RpcError } from '../../../src/cri/call/status.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { serve, version } from './harness.ts';

const clock = realClock();
const HOUR_NS = 3_600_000_000_000n;

test('F92 a call that is asked again says since when: the daemon that was asked first may have done it', async () => {
  const seen: CallContext[] = [];
  const { socketPath, client } = await serve({
    [version]: (request, call) => {
      seen.push(call);
      return seen.length === 1
        ? Promise.reject(new RpcError({ code: 'unavailable', message: 'it ends' }))
        : Promise.resolve(request);
    },
  });
  const relay = relayTo(socketPath, clock);
  onTestFinished(() => relay.close());
  const before = clock.nowNs();
  const { signal } = new AbortController();
  const answer = await relay.unary(version, Buffer.from('asks'), { signal, traceparent: 'as it came' });
  expect(Buffer.from(answer).toString()).toBe('asks');
  expect(seen.map(({ traceparent }) => traceparent)).toEqual(['as it came', 'as it came']);
  expect(seen[0]).not.toHaveProperty('askedNs');
  expect(seen[1]?.askedNs).toBeGreaterThanOrEqual(before);
  expect(seen[1]?.askedNs).toBeLessThanOrEqual(clock.nowNs());
  // anybody may send the header
  for (const asked of ['', '-1', '1e3', '12345678901234567890'])
    await client.unary(version, new Uint8Array(), { headers: { 'troupe-asked-ns': asked } });
  expect(seen.slice(2).map(({ askedNs }) => askedNs)).toEqual([undefined, undefined, undefined, undefined]);
});

test('F92 a former daemon that is stopped answers what it has passed on with Unavailable: no client has cancelled', async () => {
  const { socketPath } = await serve({ [version]: (_request, { signal }) => untilAborted(signal) });
  const relay = relayTo(socketPath, clock);
  onTestFinished(() => relay.close());
  for (const [kind, code] of [
    ['notReady', 'unavailable'],
    ['timedOut', 'deadlineExceeded'],
    ['cancelled', 'cancelled'],
  ] as const) {
    const controller = new AbortController();
    const { signal } = controller;
    const asked = [
      relay.unary(version, new Uint8Array(), { signal }),
      relay.stream(version, new Uint8Array(), { signal }, () => Promise.resolve()),
    ].map((one) =>
      one.then(
        () => 'an answer',
        (thrown: unknown) => thrown,
      ),
    );
    controller.abort(new FaultError(fault(kind, 'troupe is stopping')));
    for (const thrown of await Promise.all(asked))
      expect(thrown).toMatchObject({
        status: { code, message: expect.stringContaining('troupe is stopping') },
      });
  }
});

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new Error('its client has gone')));
  });
}

test('F92 a relayed ExecSync waits for the other daemon, and is asked once: a second one would run beside the first', async () => {
  const execSync = 'runtime.v1.RuntimeService/ExecSync';
  let asked = 0;
  const { socketPath } = await serve({
    [execSync]: () => {
      asked += 1;
      return Promise.reject(new RpcError({ code: 'unavailable', message: 'it ends' }));
    },
  });
  const relay = relayTo(socketPath, clock);
  onTestFinished(() => relay.close());
  const { signal } = new AbortController();
  await expect(relay.unary(execSync, new Uint8Array(), { signal })).rejects.toMatchObject({
    status: { code: 'unavailable' },
  });
  expect(asked).toBe(1);
  const nobody = relayTo(`${socketPath}.none`, clock);
  onTestFinished(() => nobody.close());
  const deadlineMonoMs = clock.monoMs() + 200;
  await expect(nobody.unary(execSync, new Uint8Array(), { signal, deadlineMonoMs })).rejects.toMatchObject({
    status: { code: 'unavailable' },
  });
  const gone = new AbortController();
  const waiting = nobody.unary(execSync, new Uint8Array(), { signal: gone.signal });
  gone.abort(new FaultError(fault('cancelled', 'the caller has gone')));
  await expect(waiting).rejects.toMatchObject({ status: { code: 'cancelled' } });
});

test.each([
  ['is a success', 0n, undefined],
  ['of one that ran before is refused', HOUR_NS, { status: { code: 'failedPrecondition' } }],
])('F92 a relayed StartContainer, of which only the answer was lost, %s', async (_what, agoNs, refusal) => {
  const service = 'runtime.v1.RuntimeService';
  let asked = 0;
  let startedAt = 0n;
  const { socketPath } = await serve({
    [`${service}/StartContainer`]: () => {
      asked += 1;
      if (asked === 1) startedAt = clock.nowNs() - agoNs;
      const error = asked === 1 ? 'unavailable' : 'failedPrecondition';
      return Promise.reject(new RpcError({ code: error, message: 'it runs' }));
    },
    [`${service}/ContainerStatus`]: () =>
      Promise.resolve(
        toBinary(
          ContainerStatusResponseSchema,
          create(ContainerStatusResponseSchema, { status: { startedAt } }),
        ),
      ),
  });
  const relay = relayTo(socketPath, clock);
  onTestFinished(() => relay.close());
  const request = toBinary(
    StartContainerRequestSchema,
    create(StartContainerRequestSchema, { containerId: 'c' }),
  );
  const { signal } = new AbortController();
  const answer = relay.unary(`${service}/StartContainer`, request, { signal });
  if (refusal === undefined) expect(await answer).toHaveLength(0);
  else await expect(answer).rejects.toMatchObject(refusal);
  expect(asked).toBe(2);
});
