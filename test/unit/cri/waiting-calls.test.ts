import { expect, test } from 'vitest';
import { edgeLimits } from '../../../src/base/limits.ts';
import { RuntimeService } from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerId, containerSpec, containerView, podSpec, sandboxId, sandboxView, stage } from './stage.ts';

const { stopContainer, execSync, listContainers } = RuntimeService.method;

test('S78 stops and execs of one tenant that last leave the node to others', async () => {
  const { promise: until, resolve } = Promise.withResolvers<void>();
  const { put, send, fails } = stage({ stopContainer: () => until });
  put(sandboxView(sandboxId('a')), sandboxView(sandboxId('b'), { spec: { ...podSpec, key: { ...podSpec.key, namespace: 'other' } } }));
  put(containerView(containerId('c')), containerView(containerId('d'), { spec: { ...containerSpec, key: { ...containerSpec.key, sandboxId: sandboxId('b') } } }));
  const stops = Array.from({ length: edgeLimits.waitingCallsPerNamespace }, () => send(stopContainer, { containerId: containerId('c'), timeout: 86_400n }));
  expect(await fails(execSync, { containerId: containerId('c'), cmd: ['true'] })).toMatchObject({ code: 'resourceExhausted' });
  expect((await send(execSync, { containerId: containerId('d'), cmd: ['true'] })).exitCode).toBe(3);
  expect((await send(listContainers, {})).containers).toHaveLength(2);
  resolve();
  await Promise.all(stops);
  expect((await send(execSync, { containerId: containerId('c'), cmd: ['true'] })).exitCode).toBe(3);
});
