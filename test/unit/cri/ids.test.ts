/** How ids are looked up, and the calls that have little more than an id. */
import { describe, expect, test } from 'vitest';
import { fault, FaultError } from '../../../src/base/fault.ts';
import { requestLimits } from '../../../src/cri/bounds.ts';
import { portLimits } from '../../../src/ports/bounds.ts';
import { RuntimeService } from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerId, containerView, hex, sandboxId, sandboxView, stage } from './stage.ts';

const { method } = RuntimeService;

describe('ids', () => {
  const two = (): ReturnType<typeof stage> => {
    const made = stage();
    const other = `${'a'.repeat(63)}b`;
    made.put(
      sandboxView(sandboxId('a')),
      sandboxView(other as ReturnType<typeof sandboxId>),
      containerView(containerId('1')),
      containerView(`${'1'.repeat(63)}2` as ReturnType<typeof containerId>),
      containerView(containerId('5'), { listed: false, claimed: false }),
    );
    return made;
  };
  const byId = {
    sandbox: [method.stopPodSandbox, method.removePodSandbox, method.podSandboxStatus],
    container: [
      method.startContainer,
      method.removeContainer,
      method.containerStatus,
      method.reopenContainerLog,
      method.stopContainer,
    ],
  } as const;

  test.each(byId.sandbox.map((rpc) => [rpc.name, rpc] as const))(
    '%s: empty and ambiguous ids are refused',
    async (name, rpc) => {
      const { fails, asked } = two();
      expect(await fails(rpc, {})).toEqual({
        code: 'invalidArgument',
        message: `${name}: pod_sandbox_id: is empty`,
      });
      expect(await fails(rpc, { podSandboxId: 'aa' })).toMatchObject({ code: 'invalidArgument' });
      expect(await fails(rpc, { podSandboxId: 'a\n' })).toMatchObject({ code: 'invalidArgument' });
      expect(asked).toEqual([]);
    },
  );

  test.each(byId.container.map((rpc) => [rpc.name, rpc] as const))(
    '%s: empty and ambiguous ids are refused',
    async (name, rpc) => {
      const { fails, asked } = two();
      expect(await fails(rpc, {})).toEqual({
        code: 'invalidArgument',
        message: `${name}: container_id: is empty`,
      });
      expect(await fails(rpc, { containerId: '1' })).toMatchObject({ code: 'invalidArgument' });
      expect(asked).toEqual([]);
    },
  );

  test('a whole id wins over a prefix of another, and a unique prefix is enough', async () => {
    const { send, asked } = two();
    await send(method.stopPodSandbox, { podSandboxId: hex('a') });
    await send(method.removePodSandbox, { podSandboxId: `${'a'.repeat(63)}b` });
    await send(method.startContainer, { containerId: `${'1'.repeat(63)}2` });
    expect(asked).toEqual([
      ['stopSandbox', hex('a')],
      ['removeSandbox', `${'a'.repeat(63)}b`],
      ['startContainer', `${'1'.repeat(63)}2`],
    ]);
  });

  test('Stop and Remove of an unknown id succeed and send no command', async () => {
    const { send, asked } = two();
    await send(method.stopPodSandbox, { podSandboxId: 'fff' });
    await send(method.removePodSandbox, { podSandboxId: 'fff' });
    await send(method.stopContainer, { containerId: 'fff' });
    await send(method.removeContainer, { containerId: 'fff' });
    expect(asked).toEqual([]);
  });

  test('every other call on an unknown id is NotFound', async () => {
    const { fails } = two();
    expect(await fails(method.podSandboxStatus, { podSandboxId: 'fff' })).toEqual({
      code: 'notFound',
      message: 'PodSandboxStatus fff: sandbox not found',
    });
    for (const rpc of [method.startContainer, method.containerStatus, method.reopenContainerLog]) {
      expect(await fails(rpc, { containerId: 'fff' })).toEqual({
        code: 'notFound',
        message: `${rpc.name} fff: container not found`,
      });
    }
    expect(await fails(method.execSync, { containerId: 'x'.repeat(200), cmd: ['true'] })).toMatchObject({
      code: 'notFound',
    });
  });

  test('an unclaimed container has no status, and is not found by a prefix', async () => {
    const { fails } = two();
    expect(await fails(method.containerStatus, { containerId: hex('5') })).toMatchObject({
      code: 'notFound',
    });
    expect(await fails(method.containerStatus, { containerId: '55' })).toMatchObject({ code: 'notFound' });
  });
});

describe('commands on containers', () => {
  const one = (...args: Parameters<typeof stage>): ReturnType<typeof stage> => {
    const made = stage(...args);
    made.put(containerView(containerId('1')));
    return made;
  };

  test.each([
    [0n, 0],
    [30n, 30_000],
    [2n ** 63n - 1n, portLimits.graceMaxMs],
  ])('S62 StopContainer: %s seconds are %s ms', async (timeout, graceMs) => {
    const { send, asked } = one();
    await send(method.stopContainer, { containerId: '1', timeout });
    expect(asked).toEqual([['stopContainer', hex('1'), graceMs]]);
  });

  test('S62 a negative timeout is refused, for an unknown id too', async () => {
    const { fails } = one();
    const refusal = { code: 'invalidArgument', message: 'StopContainer: timeout: -1 is negative' };
    expect(await fails(method.stopContainer, { containerId: '1', timeout: -1n })).toEqual(refusal);
    expect(await fails(method.stopContainer, { containerId: 'fff', timeout: -1n })).toEqual(refusal);
    expect(
      await fails(method.execSync, { containerId: '1', cmd: ['x'], timeout: -(2n ** 63n) }),
    ).toMatchObject({
      message: 'ExecSync: timeout: -9223372036854775808 is negative',
    });
  });

  test('ExecSync passes on output, exit code and time limit', async () => {
    const { send, asked } = one();
    const answer = await send(method.execSync, { containerId: '1', cmd: ['sh', ''], timeout: 2n });
    expect(answer).toMatchObject({
      stdout: new Uint8Array([1]),
      stderr: new Uint8Array([2, 3]),
      exitCode: 3,
    });
    await send(method.execSync, { containerId: '1', cmd: ['sh'], timeout: 2n ** 62n });
    expect(asked).toEqual([
      ['execSync', hex('1'), ['sh', ''], 2000],
      ['execSync', hex('1'), ['sh'], requestLimits.execMaxMs],
    ]);
  });

  test.each([[[]], [['']], [['a\0']]])('ExecSync of %j is refused by the name of the field', async (cmd) => {
    const { fails } = one();
    const status = await fails(method.execSync, { containerId: '1', cmd });
    expect(status).toMatchObject({ code: 'invalidArgument' });
    expect(status.message).toContain('ExecSync: cmd');
  });

  test('ExecSync past its time limit is DeadlineExceeded', async () => {
    const late = new FaultError(fault('timedOut', 'ExecSync 1: killed after 1000 ms'));
    const { fails } = one({ execSync: () => Promise.reject(late) });
    expect(await fails(method.execSync, { containerId: '1', cmd: ['sleep', '9'], timeout: 1n })).toEqual({
      code: 'deadlineExceeded',
      message: 'ExecSync 1: killed after 1000 ms',
    });
  });

  test('ReopenContainerLog and RemoveContainer send their commands', async () => {
    const { send, asked } = one();
    await send(method.reopenContainerLog, { containerId: '1' });
    await send(method.removeContainer, { containerId: '11' });
    expect(asked).toEqual([
      ['reopenLog', hex('1')],
      ['removeContainer', hex('1')],
    ]);
  });
});

describe('label selectors', () => {
  const selecting = (count: number) => ({
    filter: {
      labelSelector: Object.fromEntries(Array.from({ length: count }, (_none, at) => [`k${at}`, 'v'])),
    },
  });
  const lists = [
    method.listContainers,
    method.listPodSandbox,
    method.listContainerStats,
    method.listPodSandboxStats,
  ] as const;

  test.each(lists.map((rpc) => [rpc.name, rpc] as const))(
    'S78 a selector of %s has as many labels as a pod may have',
    async (name, rpc) => {
      const { put, send, fails } = stage();
      put(sandboxView(sandboxId('a')), containerView(containerId('1')));
      await send(rpc, selecting(requestLimits.mapEntries));
      const { code, message } = await fails(rpc, selecting(requestLimits.mapEntries + 1));
      expect({ code, message }).toEqual({
        code: 'invalidArgument',
        message: `${name}: filter.label_selector: 4097 entries, more than 4096`,
      });
    },
  );
});
