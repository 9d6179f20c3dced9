import { create, toBinary } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { fail, fault, FaultError } from '../../../src/base/fault.ts';
import { silentLog } from '../../../src/base/log.ts';
import { CallSwitch } from '../../../src/cri/call/call-switch.ts';
import type { EdgeOptions } from '../../../src/cri/call/edge.ts';
import { edgeMethods } from '../../../src/cri/call/edge.ts';
import { StopContainerRequestSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import { HandTimers } from '../../support/hand-clock.ts';
import { serve } from './harness.ts';

const stop = 'runtime.v1.RuntimeService/StopContainer';

function methods(runtime: NonNullable<EdgeOptions['runtime']>): ReturnType<typeof edgeMethods> {
  return edgeMethods({
    clock: new HandTimers(),
    random: { token: () => 'ab12' },
    log: silentLog,
    notReadyReason: () => undefined,
    runtime,
  });
}

test('a handler’s answer at its deadline arrives before the client gives up', async () => {
  const { client } = await serve(
    methods({
      stopContainer: (request, context) => {
        if (context.deadlineMonoMs === undefined) return Promise.resolve({});
        return fail(
          'timedOut',
          `stop container ${request.containerId}: running.stopping.waitExit waits for the process to end`,
        );
      },
    }),
  );
  const request = toBinary(
    StopContainerRequestSchema,
    create(StopContainerRequestSchema, { containerId: '12' }),
  );
  expect(await client.unary(stop, request, { deadline: Date.now() + 3_600_000 })).toMatchObject({
    code: status.DEADLINE_EXCEEDED,
    details: 'stop container 12: running.stopping.waitExit waits for the process to end',
  });
  expect(await client.unary(stop, request)).toMatchObject({ code: status.OK });
});

test('malformed bytes are InvalidArgument over the wire', async () => {
  const { client } = await serve(methods({ stopContainer: () => Promise.resolve({}) }));
  const outcome = await client.unary(stop, Buffer.from([0x0a, 0xff]));
  expect(outcome.code).toBe(status.INVALID_ARGUMENT);
  expect(outcome.details).toContain('not a valid StopContainerRequest');
});

test('a bug is Internal over the wire, with the request id', async () => {
  const { client } = await serve(
    methods({
      stopContainer: () => {
        throw new TypeError('our insides');
      },
    }),
  );
  const outcome = await client.unary(stop);
  expect(outcome.code).toBe(status.INTERNAL);
  expect(outcome.details).toContain('ab12');
  expect(outcome.details).not.toContain('insides');
});

test('F92 a call that joined what a hand-over had aborted is asked again over the wire', async () => {
  let asked = 0;
  const calls = new CallSwitch();
  const own = methods({
    stopContainer: () => {
      asked += 1;
      if (asked > 1) return Promise.resolve({});
      throw new FaultError({ ...fault('cancelled', 'stop container 12: aborted'), endedByHandOver: true });
    },
  });
  const { client } = await serve(calls.methods(own));
  expect(await client.unary(stop)).toMatchObject({ code: status.OK });
  expect(asked).toBe(2);
});
