import { expect, test } from 'vitest';
import { create, toBinary } from '@bufbuild/protobuf';
import { silentLog } from '../../../../src/base/log.ts';
import { edgeMethods } from '../../../../src/cri/call/edge.ts';
import { ListContainersRequestSchema } from '../../../../src/gen/runtime/v1/api_pb.ts';

const request = toBinary(ListContainersRequestSchema, create(ListContainersRequestSchema));
const call = { signal: new AbortController().signal };

test('a kubelet that asks again and again fills no log while troupe is not ready; each call is answered', async () => {
  const lines: string[] = [];
  const at = (level: string) => (fields: object, text: string) => {
    const { reason, calls, fault } = fields as {
      reason?: string;
      calls?: number;
      fault?: { message: string };
    };
    lines.push([level, text, reason ?? fault?.message, calls].filter((part) => part !== undefined).join(' '));
  };
  let reason: string | undefined = 'recovering';
  const method =
    edgeMethods({
      clock: { monoMs: () => 0 },
      random: { token: () => 'r' },
      log: { ...silentLog, warn: at('warn'), info: at('info') },
      notReadyReason: () => reason,
      runtime: { listContainers: async () => ({ containers: [] }) },
    })['runtime.v1.RuntimeService/ListContainers'] ?? expect.fail('no method');
  const codes: unknown[] = [];
  const ask = async (times: number): Promise<void> => {
    for (let n = 0; n < times; n += 1)
      codes.push(
        await method(request, call).then(
          () => 'ok',
          (error: { status: { code: string } }) => error.status.code,
        ),
      );
  };
  await ask(50);
  reason = 'draining';
  await ask(1);
  reason = undefined;
  await ask(1);
  reason = 'recovering';
  await ask(2);
  expect(codes).toEqual([
    ...Array.from({ length: 51 }, () => 'unavailable'),
    'ok',
    'unavailable',
    'unavailable',
  ]);
  expect(lines).toEqual([
    'warn ListContainers ListContainers: troupe is not ready: recovering',
    'info calls were refused: not ready recovering 50',
    'warn ListContainers ListContainers: troupe is not ready: draining',
    'warn ListContainers ListContainers: troupe is not ready: recovering',
  ]);
});
