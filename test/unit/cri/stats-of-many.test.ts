// Lists of statistics: one container or pod that can't be read leaves the figures of all others.
import { expect, test } from 'vitest';
import type { Usage } from '../../../src/actors/ports/stats.ts';
import type { Troupe } from '../../../src/actors/troupe.ts';
import { fail } from '../../../src/base/fault.ts';
import { eachThatAnswers, ifItAnswers } from '../../../src/cri/gather-stats.ts';
import { RuntimeService } from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerId, containerSpec, containerView, sandboxId, sandboxView, stage } from './stage.ts';

const { listContainerStats, listPodSandboxStats, listPodSandboxMetrics } = RuntimeService.method;

const usage: Usage = {
  atNs: 1n, cpuNs: 1n, cpuNanoCores: 1n, memoryBytes: 1n, workingSetBytes: 1n, rssBytes: 1n, availableBytes: undefined, pageFaults: 1n,
  majorPageFaults: 1n, swapBytes: 1n, swapAvailableBytes: undefined, processes: 1n, cpuPressure: undefined, memoryPressure: undefined, ioPressure: undefined,
};

/** Two pods with a container each; of those that `isBad` says nothing can be read. */
function two(isBad: (id: string) => boolean): ReturnType<typeof stage> {
  const stats: Partial<Troupe['stats']> = {
    container: ({ id }) => (isBad(id) ? Promise.reject(new Error('not a number')) : Promise.resolve(usage)),
    sandbox: () => undefined,
    interfaces: ({ id }) => (isBad(id) ? Promise.reject(new Error('no such namespace')) : Promise.resolve([])),
    details: ({ id }) => fail('outside', `read details of ${id}`),
  };
  const made = stage({ stats: stats as Troupe['stats'] });
  made.put(sandboxView(sandboxId('a')), sandboxView(sandboxId('b')));
  made.put(containerView(containerId('c')));
  made.put(containerView(containerId('d'), { spec: { ...containerSpec, key: { ...containerSpec.key, sandboxId: sandboxId('b') } } }));
  return made;
}

test('S78 a container, a pod that cannot be read is left out of the list', async () => {
  const { send } = two((id) => id === containerId('d') || id === sandboxId('b'));
  expect((await send(listContainerStats, {})).stats.map(({ attributes }) => attributes?.id)).toEqual([containerId('c')]);
  expect((await send(listPodSandboxStats, {})).stats.map(({ attributes }) => attributes?.id)).toEqual([sandboxId('a')]);
});

test('where nothing can be read, the call says why', async () => {
  const { fails } = two(() => true);
  for (const rpc of [listContainerStats, listPodSandboxStats, listPodSandboxMetrics] as const) expect((await fails(rpc, {})).code).toBe('internal');
});

test('a caller that has gone is told so, and not that nothing runs', async () => {
  const signal = AbortSignal.abort(new Error('gone'));
  await expect(eachThatAnswers([Promise.resolve(1), Promise.reject(new Error('no'))], { signal })).rejects.toThrow('gone');
  await expect(ifItAnswers(Promise.reject(new Error('no')), { signal })).rejects.toThrow('gone');
  expect(await ifItAnswers(Promise.reject(new Error('no')), { signal: new AbortController().signal })).toBeUndefined();
});
