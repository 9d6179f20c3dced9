import { describe, expect, test } from 'vitest';
import { RuntimeService } from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerId, containerView, sandboxId, sandboxView, stage } from './stage.ts';

const { updateContainerResources, updatePodSandboxResources } = RuntimeService.method;
const C = containerId('c');
const S = sandboxId('a');

describe('UpdateContainerResources', () => {
  test('passes on stated fields; zero and empty ones are left out', async () => {
    const { send, put, asked } = stage();
    put(containerView(C));
    await send(updateContainerResources, {
      containerId: C.slice(0, 12),
      linux: { cpuQuota: -1n, memoryLimitInBytes: 64n },
    });
    expect(asked).toEqual([
      [
        'updateContainer',
        C,
        {
          cpuPeriod: undefined,
          cpuQuota: -1n,
          cpuShares: undefined,
          memoryLimitBytes: 64n,
          memorySwapLimitBytes: undefined,
          oomScoreAdj: 0,
          cpusetCpus: '',
          cpusetMems: '',
          hugepageLimits: [],
          unified: {},
        },
      ],
    ]);
  });

  test('allows memory and swap to change alone, by the current memory limit', async () => {
    const { send, put, asked } = stage();
    put(containerView(C));
    await send(updateContainerResources, { containerId: C, linux: { memorySwapLimitInBytes: 128n } });
    expect(asked[0]?.[2]).toMatchObject({ memoryLimitBytes: undefined, memorySwapLimitBytes: 128n });
  });

  test.each([
    ['an unknown container', { containerId: C }, 'notFound', 'UpdateContainerResources'],
    ['no container', { containerId: '' }, 'invalidArgument', 'container_id'],
    [
      'a limit below zero',
      { containerId: containerId('d'), linux: { memoryLimitInBytes: -5n } },
      'invalidArgument',
      'linux.memory_limit_in_bytes',
    ],
    [
      'an invalid CPU set',
      { containerId: containerId('d'), linux: { cpusetCpus: 'all' } },
      'invalidArgument',
      'linux.cpuset_cpus',
    ],
    ['limits of Windows', { containerId: containerId('d'), windows: {} }, 'invalidArgument', 'windows'],
  ])('refuses %s', async (_what, request, code, word) => {
    const { fails, put, asked } = stage();
    put(containerView(containerId('d')));
    const status = await fails(updateContainerResources, request);
    expect(status.code).toBe(code);
    expect(status.message).toContain(word);
    expect(asked).toEqual([]);
  });

  test('is refused for an unlisted container', async () => {
    const { fails, put } = stage();
    put(containerView(C, { listed: false }));
    expect(await fails(updateContainerResources, { containerId: C })).toMatchObject({ code: 'notFound' });
  });
});

describe('UpdatePodSandboxResources', () => {
  test('takes the kubelet’s own cgroup settings and passes them to plugins', async () => {
    const { send, put, asked } = stage();
    put(sandboxView(S));
    await send(updatePodSandboxResources, {
      podSandboxId: S,
      overhead: {},
      resources: { cpuShares: 2n, memorySwapLimitInBytes: 7n },
    });
    const wanted = {
      overhead: expect.objectContaining({ cpuShares: undefined }) as unknown,
      resources: expect.objectContaining({ cpuShares: 2n, memorySwapLimitBytes: 7n }) as unknown,
    };
    expect(asked).toEqual([['updateSandbox', S, wanted]]);
  });

  test('takes what the kubelet reads where a pod has no limit, less an overhead: since 1.36 a refusal ends the resize', async () => {
    const { send, put, asked } = stage();
    put(sandboxView(S));
    // on cgroup v2 `max` becomes the highest uint64 in the kubelet, and that -1
    const unlimited = { cpuPeriod: 100_000n, cpuQuota: -1n, cpuShares: 1024n, memoryLimitInBytes: -1n };
    await send(updatePodSandboxResources, { podSandboxId: S, resources: unlimited });
    const lessOverhead = { cpuPeriod: 100_000n, cpuQuota: -25_001n, memoryLimitInBytes: -125_829_121n };
    await send(updatePodSandboxResources, { podSandboxId: S, resources: lessOverhead });
    const small = { cpuPeriod: 100_000n, cpuQuota: 500n, memoryLimitInBytes: 64n };
    await send(updatePodSandboxResources, { podSandboxId: S, resources: small });
    expect(asked.map(([, , wanted]) => (wanted as { readonly resources: unknown }).resources)).toMatchObject([
      { cpuQuota: -1n, cpuShares: 1024n, memoryLimitBytes: -1n },
      { cpuQuota: -1n, memoryLimitBytes: -1n },
      { cpuQuota: 500n, memoryLimitBytes: 64n },
    ]);
  });

  test('refuses an unknown sandbox and invalid limits', async () => {
    const { fails, put } = stage();
    expect(await fails(updatePodSandboxResources, { podSandboxId: S })).toMatchObject({ code: 'notFound' });
    put(sandboxView(S));
    const status = await fails(updatePodSandboxResources, { podSandboxId: S, resources: { cpuPeriod: 5n } });
    expect(status).toMatchObject({
      code: 'invalidArgument',
      message: expect.stringContaining('resources.cpu_period') as string,
    });
  });
});
