// Lists of statistics: one container or pod that can't be read leaves the figures of all others.
import { create, fromBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import type { Usage } from '../../../src/ports/stats.ts';
import type { Troupe } from '../../../src/actors/troupe.ts';
import { innerCause } from '../../../src/base/cause.ts';
import { fail, fault, FaultError } from '../../../src/base/fault.ts';
import { edgeLimits } from '../../../src/cri/bounds.ts';
import type { ContainerId } from '../../../src/base/ids.ts';
import type { Log } from '../../../src/base/log.ts';
import { silentLog } from '../../../src/base/log.ts';
import type { RpcContext } from '../../../src/cri/call/edge.ts';
import { eachThatAnswers, ifItAnswers } from '../../../src/cri/stats/gather-stats.ts';
import { streamContainerStats } from '../../../src/cri/runtime/stream-container-stats.ts';
import { UnreadUsage } from '../../../src/cri/call/unread-usage.ts';
import { RuntimeService } from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerId, containerSpec, containerView, sandboxId, sandboxView, stage } from './stage.ts';

const { listContainerStats, listPodSandboxStats, listPodSandboxMetrics } = RuntimeService.method;

const usage: Usage = {
  atNs: 1n,
  cpuNs: 1n,
  cpuNanoCores: 1n,
  memoryBytes: 1n,
  workingSetBytes: 1n,
  rssBytes: 1n,
  availableBytes: undefined,
  pageFaults: 1n,
  majorPageFaults: 1n,
  swapBytes: 1n,
  swapAvailableBytes: undefined,
  processes: 1n,
  cpuPressure: undefined,
  memoryPressure: undefined,
  ioPressure: undefined,
};

const unreadable = (reason: string): FaultError => new FaultError(fault('outside', reason));

/** Two pods with a container each; of those that `isBad` says nothing can be read. */
function two(
  isBad: (id: string) => boolean,
  more: Partial<Troupe['stats']> = {},
  log: Partial<Log> = {},
): ReturnType<typeof stage> {
  const stats: Partial<Troupe['stats']> = {
    container: ({ id }) => (isBad(id) ? Promise.reject(unreadable('not a number')) : Promise.resolve(usage)),
    sandbox: () => undefined,
    interfaces: ({ id }) =>
      isBad(id) ? Promise.reject(unreadable('no such namespace')) : Promise.resolve([]),
    details: ({ id }) => fail('outside', `read details of ${id}`),
    ...more,
  };
  const made = stage(
    { stats: stats as Troupe['stats'] },
    { unread: new UnreadUsage({ ...silentLog, ...log }, { monoMs: () => 0 }) },
  );
  made.put(sandboxView(sandboxId('a')), sandboxView(sandboxId('b')));
  made.put(containerView(containerId('c')));
  made.put(
    containerView(containerId('d'), {
      spec: { ...containerSpec, key: { ...containerSpec.key, sandboxId: sandboxId('b') } },
    }),
  );
  return made;
}

test('S78 a container or pod that cannot be read is left out of the list', async () => {
  const { send } = two((id) => id === containerId('d') || id === sandboxId('b'));
  expect((await send(listContainerStats, {})).stats.map(({ attributes }) => attributes?.id)).toEqual([
    containerId('c'),
  ]);
  expect((await send(listPodSandboxStats, {})).stats.map(({ attributes }) => attributes?.id)).toEqual([
    sandboxId('a'),
  ]);
});

test('S78 a batch of which nothing can be read does not end StreamContainerStats: the later ones come', async () => {
  const { statsBatchItems } = edgeLimits;
  const method = RuntimeService.method.streamContainerStats;
  const call: RpcContext = {
    cause: innerCause('test'),
    signal: new AbortController().signal,
    deadlineMonoMs: undefined,
  };
  const ids = Array.from(
    { length: 3 * statsBatchItems },
    (_none, at) => at.toString(16).padStart(64, '0') as ContainerId,
  );
  const streamed = async (isBad: (at: number) => boolean): Promise<string[]> => {
    const { troupe, put } = two((id) => isBad(ids.indexOf(id as ContainerId)));
    put(...ids.map((id) => containerView(id)));
    const seen: string[] = [];
    const stream = streamContainerStats({ troupe, unread: new UnreadUsage(silentLog, { monoMs: () => 0 }) });
    await stream(create(method.input, {}), call, (message) => {
      const { containerStats } =
        message instanceof Uint8Array ? fromBinary(method.output, message) : create(method.output, message);
      seen.push(...containerStats.map(({ attributes }) => attributes?.id ?? ''));
      return Promise.resolve();
    });
    return seen;
  };
  const isInFirst = (at: number): boolean => at < statsBatchItems + 10;
  expect((await streamed(isInFirst)).filter((id) => ids.includes(id as ContainerId))).toEqual(
    ids.slice(statsBatchItems + 10),
  );
  await expect(streamed(() => true)).rejects.toThrow('not a number');
});

test('when nothing can be read, the call fails with the reason', async () => {
  const { fails } = two(() => true);
  for (const rpc of [listContainerStats, listPodSandboxStats, listPodSandboxMetrics] as const)
    expect((await fails(rpc, {})).code).toBe('unknown');
});

const noted = (lines: unknown[]): Partial<Log> => ({
  warn: (fields, message) => void lines.push({ ...fields, message }),
});

test('S78 what is left out is in the log once, with the reason', async () => {
  const lines: unknown[] = [];
  const { send } = two((id) => id === containerId('d') || id === sandboxId('b'), {}, noted(lines));
  for (let at = 0; at < 3; at += 1) await send(listContainerStats, {});
  const message = 'read usage: left out of the answer';
  expect(lines).toMatchObject([{ subject: containerId('d'), fault: { message: 'not a number' }, message }]);
  await send(listPodSandboxStats, {});
  expect(lines).toMatchObject([
    { subject: containerId('d') },
    { subject: sandboxId('b'), fault: { message: 'not a number' }, message },
  ]);
});

test('S78 lines about what cannot be read are bounded over all subjects, and come again after a while', () => {
  const lines: unknown[] = [];
  let nowMs = 0;
  const unread = new UnreadUsage({ ...silentLog, ...noted(lines) }, { monoMs: () => nowMs });
  const { times, everyMs } = edgeLimits.unreadUsageLines;
  for (let at = 0; at < 1000; at += 1) unread.note(`container-${at}`, new Error('no'));
  expect(lines).toHaveLength(times);
  nowMs += everyMs;
  unread.note('container-999', new Error('no'));
  unread.note('container-1000', new Error('no'));
  expect(lines).toHaveLength(times + 1);
  nowMs += edgeLimits.unreadUsageLine.everyMs;
  unread.note('container-999', new Error('no'));
  expect(lines).toHaveLength(times + 2);
});

test('S78 a pod keeps the figure of its own cgroup when its containers cannot be read', async () => {
  const own: Usage = { ...usage, memoryBytes: 77n, workingSetBytes: 77n };
  const { send } = two((id) => id === containerId('d'), {
    sandbox: ({ id }) => (id === sandboxId('b') ? own : undefined),
  });
  const { stats } = await send(listPodSandboxStats, {});
  expect(stats.map(({ attributes }) => attributes?.id)).toEqual([sandboxId('a'), sandboxId('b')]);
  expect(stats[1]?.linux?.memory?.workingSetBytes?.value).toBe(77n);
  expect(stats[1]?.linux?.containers).toEqual([]);
});

test('a bug fails the call instead of being left out', async () => {
  const { fails } = two(() => false, {
    container: ({ id }) =>
      id === containerId('d') ? Promise.reject(new TypeError('x is not a function')) : Promise.resolve(usage),
  });
  expect(await fails(listContainerStats, {})).toMatchObject({ code: 'internal' });
});

test('an aborted call is cancelled, not answered with an empty list', async () => {
  const signal = AbortSignal.abort(new Error('gone'));
  const unread = new UnreadUsage(silentLog, { monoMs: () => 0 });
  const failing = { subject: 'b', answer: Promise.reject(unreadable('no')) };
  await expect(
    eachThatAnswers([{ subject: 'a', answer: Promise.resolve(1) }, failing], { signal }, { unread }),
  ).rejects.toThrow('gone');
  await expect(ifItAnswers(failing, { signal }, { unread })).rejects.toThrow('gone');
  expect(await ifItAnswers(failing, { signal: new AbortController().signal }, { unread })).toBeUndefined();
});
