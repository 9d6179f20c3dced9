import { create } from '@bufbuild/protobuf';
import type { Message } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import type { ContainerId } from '../../../../src/base/ids.ts';
import { edgeLimits } from '../../../../src/cri/bounds.ts';
import { namespaceOf } from '../../../../src/cri/lookup/lookup.ts';
import {
  CheckpointContainerRequestSchema,
  CheckpointPodRequestSchema,
  ExecSyncRequestSchema,
  PullImageRequestSchema,
  RuntimeService,
} from '../../../../src/gen/runtime/v1/api_pb.ts';
import {
  containerId,
  containerSpec,
  containerView,
  podSpec,
  sandboxId,
  sandboxView,
  stage,
} from '../stage.ts';

const { stopContainer, stopPodSandbox, execSync, listContainers, status } = RuntimeService.method;

test('S78 execs of one tenant that last leave room for others', async () => {
  const answer = { exitCode: 3, stdout: new Uint8Array(), stderr: new Uint8Array() };
  const { promise: until, resolve } = Promise.withResolvers<typeof answer>();
  const { put, send, fails } = stage({
    execSync: (_id, [program]) => (program === 'wait' ? until : Promise.resolve(answer)),
  });
  put(
    sandboxView(sandboxId('a')),
    sandboxView(sandboxId('b'), { spec: { ...podSpec, key: { ...podSpec.key, namespace: 'other' } } }),
  );
  put(
    containerView(containerId('c')),
    containerView(containerId('d'), {
      spec: { ...containerSpec, key: { ...containerSpec.key, sandboxId: sandboxId('b') } },
    }),
  );
  const exec = (digit: string, cmd = 'true') => ({ containerId: containerId(digit), cmd: [cmd] });
  const execs = Array.from({ length: edgeLimits.waitingCallsPerNamespace }, () =>
    send(execSync, exec('c', 'wait')),
  );
  expect(await fails(execSync, exec('c'))).toMatchObject({ code: 'resourceExhausted' });
  const other = send(execSync, exec('d', 'wait'));
  expect((await send(listContainers, {})).containers).toHaveLength(2);
  resolve(answer);
  expect((await other).exitCode).toBe(3);
  await Promise.all(execs);
  expect((await send(execSync, exec('c'))).exitCode).toBe(3);
});

test('S78 a drain stops 1100 containers of one namespace at once: none is refused, and other calls are answered', async () => {
  const { promise: until, resolve } = Promise.withResolvers<void>();
  const { put, send, asked } = stage({ stopContainer: () => until });
  put(sandboxView(sandboxId('a')));
  const ids = Array.from({ length: 1100 }, (_none, at) => at.toString(16).padStart(64, '0') as ContainerId);
  for (const id of ids) put({ ...containerView(id), address: `container/${id}` });
  const stops = ids.map((id) => send(stopContainer, { containerId: id, timeout: 86_400n }));
  expect((await send(status, {})).status?.conditions.length).toBeGreaterThan(0);
  expect((await send(listContainers, {})).containers).toHaveLength(1100);
  await send(stopPodSandbox, { podSandboxId: sandboxId('a') });
  expect(asked.map(([name]) => name)).toEqual(['stopSandbox']);
  const execs = Array.from({ length: edgeLimits.waitingCallsPerNamespace }, () =>
    send(execSync, { containerId: ids[0] ?? '', cmd: ['true'] }),
  );
  await Promise.all(execs);
  resolve();
  await Promise.all(stops);
});

test('S78 each long call counts in the share of its namespace', () => {
  const { put, directory } = stage();
  put(sandboxView(sandboxId('a')), containerView(containerId('c')));
  const of = (request: Message): string => namespaceOf(directory, request);
  expect(of(create(ExecSyncRequestSchema, { containerId: containerId('c') }))).toBe('shop');
  expect(of(create(CheckpointContainerRequestSchema, { containerId: containerId('c') }))).toBe('shop');
  expect(of(create(CheckpointPodRequestSchema, { podSandboxId: sandboxId('a') }))).toBe('shop');
  expect(of(create(PullImageRequestSchema, { sandboxConfig: { metadata: { namespace: 'shop' } } }))).toBe(
    'shop',
  );
  expect(of(create(CheckpointPodRequestSchema, { podSandboxId: sandboxId('b') }))).toBe('');
  expect(of(create(ExecSyncRequestSchema, {}))).toBe('');
});
