// UpdateContainerResources and UpdatePodSandboxResources: in force when they answer, reported by the status, all or
// nothing.
import { readFileSync } from 'node:fs';
import { holds, refused, same } from '../expect.ts';
import { cgroupValue, isV1, limits, statusOf } from '../host.ts';
import { type Group, row } from '../row.ts';
import type { ContainerConfig } from '../stage.ts';
import { resources, type Trial } from '../trial.ts';

const MIB = 1024n * 1024n;
type Linux = NonNullable<Parameters<Trial['runtime']['updateContainerResources']>[0]['linux']>;

const update = async ({ runtime }: Trial, containerId: string, linux: Linux): Promise<void> =>
  void (await runtime.updateContainerResources({ containerId, linux }));
const reported = async (t: Trial, id: string) => (await t.status(id)).resources?.linux;
const start: ContainerConfig = resources({
  memoryLimitInBytes: 64n * MIB,
  cpuShares: 512n,
  cpuQuota: 50_000n,
  cpuPeriod: 100_000n,
});

/** The value in the container's cgroup; v2 has quota and period in one file. */
async function inForce(t: Trial, id: string, limit: keyof typeof limits): Promise<string> {
  const value = cgroupValue(await t.pid(id), limits[limit]);
  if (isV1 || (limit !== 'quota' && limit !== 'period')) return value;
  return value.split(' ')[limit === 'quota' ? 0 : 1] ?? '';
}

/**
 * What 2048 shares are in force as. v2 has weights: by the straight line of runc before 1.3.2 and crun before 1.24, and
 * by the curve of later ones, which has 1024 shares at the default weight of 100.
 */
const SHARES_2048 = isV1 ? ['2048'] : ['79', '174'];

export const updateResources: Group = {
  title: 'Resources in place',
  perHandler: true,
  rows: [
    row('CreateContainer', 'memory, shares, quota and period are in force', async (t) => {
      const id = await t.start(start);
      same(
        [await inForce(t, id, 'memory'), await inForce(t, id, 'quota'), await inForce(t, id, 'period')],
        [String(64n * MIB), '50000', '100000'],
      );
      if (isV1) same(await inForce(t, id, 'shares'), '512');
    }),
    row('ContainerStatus.resources', 'shows what is in force', async (t) => {
      const linux = await reported(t, await t.start(start));
      same(
        [linux?.memoryLimitInBytes, linux?.cpuShares, linux?.cpuQuota, linux?.cpuPeriod],
        [64n * MIB, 512n, 50_000n, 100_000n],
      );
    }),
    row('memory_limit_in_bytes', 'more: in force and reported when the call answers', async (t) => {
      const id = await t.start(start);
      await update(t, id, { memoryLimitInBytes: 128n * MIB });
      same(
        [await inForce(t, id, 'memory'), (await reported(t, id))?.memoryLimitInBytes],
        [String(128n * MIB), 128n * MIB],
      );
    }),
    row('memory_limit_in_bytes', 'less, above what is used', async (t) => {
      const id = await t.start(start);
      await update(t, id, { memoryLimitInBytes: 32n * MIB });
      same(
        [await inForce(t, id, 'memory'), (await reported(t, id))?.memoryLimitInBytes],
        [String(32n * MIB), 32n * MIB],
      );
    }),
    row(
      'memory_limit_in_bytes',
      'below what is used: refused, nothing changes, the container lives',
      async (t) => {
        const { id } = await t.up(
          "x=$(head -c 31457280 /dev/zero | tr '\\0' x); echo up; while :; do sleep 1; done",
          resources({ memoryLimitInBytes: 200n * MIB }),
        );
        await refused(update(t, id, { memoryLimitInBytes: 15n * MIB }), [
          'FAILED_PRECONDITION',
          'INVALID_ARGUMENT',
        ]);
        same(
          [
            await inForce(t, id, 'memory'),
            (await reported(t, id))?.memoryLimitInBytes,
            (await t.status(id)).state,
          ],
          [String(200n * MIB), 200n * MIB, 1],
        );
      },
    ),
    row('memory_limit_in_bytes', 'negative: refused, nothing changes', async (t) => {
      const id = await t.start(start);
      await refused(update(t, id, { memoryLimitInBytes: -1n }), 'INVALID_ARGUMENT');
      same(await inForce(t, id, 'memory'), String(64n * MIB));
    }),
    row('cpu_shares', 'in force and reported', async (t) => {
      const id = await t.start(start);
      await update(t, id, { cpuShares: 2048n });
      const value = await inForce(t, id, 'shares');
      holds(SHARES_2048.includes(value), `${value} is in force`);
      same((await reported(t, id))?.cpuShares, 2048n);
    }),
    row('cpu_quota', 'in force and reported; the period stays', async (t) => {
      const id = await t.start(start);
      await update(t, id, { cpuQuota: 25_000n });
      same(
        [await inForce(t, id, 'quota'), await inForce(t, id, 'period'), (await reported(t, id))?.cpuQuota],
        ['25000', '100000', 25_000n],
      );
    }),
    row('cpu_quota', '-1 takes the limit away', async (t) => {
      const id = await t.start(start);
      await update(t, id, { cpuQuota: -1n });
      same(await inForce(t, id, 'quota'), isV1 ? '-1' : 'max');
    }),
    row(
      'cpu_quota',
      '-1 at CreateContainer, as a kubelet without CPU quotas sends it: no limit',
      async (t) => {
        same(
          await inForce(t, await t.start(resources({ cpuQuota: -1n, cpuPeriod: 100_000n })), 'quota'),
          isV1 ? '-1' : 'max',
        );
      },
    ),
    row('cpu_period', "beyond the kernel's bounds: refused, nothing changes", async (t) => {
      const id = await t.start(start);
      await refused(update(t, id, { cpuPeriod: 3n, memoryLimitInBytes: 100n * MIB }), 'INVALID_ARGUMENT');
      same([await inForce(t, id, 'period'), await inForce(t, id, 'memory')], ['100000', String(64n * MIB)]);
    }),
    row(
      'cpuset_cpus',
      'in force and reported; again each ten seconds, as the CPU manager does',
      async (t) => {
        const id = await t.start();
        for (let times = 0; times < 3; times += 1) await update(t, id, { cpusetCpus: '0' });
        same(
          [statusOf(await t.pid(id), 'Cpus_allowed_list'), (await reported(t, id))?.cpusetCpus],
          ['0', '0'],
        );
      },
    ),
    row('cpuset_cpus', 'a CPU that the machine has not: refused, all or nothing', async (t) => {
      const id = await t.start(start);
      await refused(update(t, id, { cpusetCpus: '4000', memoryLimitInBytes: 100n * MIB }), [
        'INVALID_ARGUMENT',
        'FAILED_PRECONDITION',
        'UNKNOWN',
      ]);
      same(
        [
          await inForce(t, id, 'memory'),
          (await reported(t, id))?.memoryLimitInBytes,
          (await reported(t, id))?.cpusetCpus,
        ],
        [String(64n * MIB), 64n * MIB, ''],
      );
    }),
    row(
      'cpuset_cpus',
      'no list: InvalidArgument',
      async (t) => await refused(update(t, await t.start(), { cpusetCpus: 'all' }), 'INVALID_ARGUMENT'),
    ),
    row('zero and empty', 'leave everything as it is', async (t) => {
      const id = await t.start(start);
      const before = await reported(t, id);
      await update(t, id, {});
      same(await reported(t, id), before);
      same(await inForce(t, id, 'memory'), String(64n * MIB));
    }),
    row('zero and empty', 'one field leaves the others as they are', async (t) => {
      const id = await t.start(start);
      await update(t, id, { cpuQuota: 60_000n });
      const linux = await reported(t, id);
      same([linux?.memoryLimitInBytes, linux?.cpuShares, linux?.cpuPeriod], [64n * MIB, 512n, 100_000n]);
    }),
    row('linux', 'missing is success or InvalidArgument, and changes nothing', async (t) => {
      const containerId = await t.start(start);
      await t.runtime
        .updateContainerResources({ containerId })
        .catch(async (error: unknown) => await refused(Promise.reject(error), 'INVALID_ARGUMENT'));
      same(await inForce(t, containerId, 'memory'), String(64n * MIB));
    }),
    row('states', 'of a CREATED container: in force once it runs', async (t) => {
      const id = await t.create(start);
      await update(t, id, { memoryLimitInBytes: 96n * MIB });
      await t.runtime.startContainer({ containerId: id });
      same(await inForce(t, id, 'memory'), String(96n * MIB));
    }),
    row(
      'states',
      'of an EXITED container is FailedPrecondition',
      async (t) =>
        await refused(
          update(t, (await t.run({ command: ['true'] })).id, { cpuShares: 100n }),
          'FAILED_PRECONDITION',
        ),
    ),
    row(
      'states',
      'of one that has its grace to end: in force when it answers, long before the end',
      async (t) => {
        const { id } = await t.up('trap "" TERM; echo up; while :; do sleep 1; done', start);
        const stopped = t.runtime.stopContainer({ containerId: id, timeout: 600n });
        await update(t, id, { memoryLimitInBytes: 128n * MIB, cpuQuota: 25_000n });
        same(
          [
            await inForce(t, id, 'memory'),
            await inForce(t, id, 'quota'),
            (await reported(t, id))?.memoryLimitInBytes,
            (await t.status(id)).state,
          ],
          [String(128n * MIB), '25000', 128n * MIB, 1],
        );
        await t.runtime.stopContainer({ containerId: id, timeout: 0n });
        await stopped;
      },
    ),
    row('many', 'five different ones at once: the status shows what is in force', async (t) => {
      const id = await t.start(start);
      await Promise.all(
        Array.from(
          { length: 5 },
          async (_none, at) => await update(t, id, { memoryLimitInBytes: BigInt(70 + at) * MIB }),
        ),
      );
      same(String((await reported(t, id))?.memoryLimitInBytes), await inForce(t, id, 'memory'));
    }),
    row(
      'windows',
      'on Linux is InvalidArgument',
      async (t) =>
        await refused(
          t.runtime.updateContainerResources({ containerId: await t.start(), windows: { cpuShares: 5n } }),
          'INVALID_ARGUMENT',
        ),
    ),
    row('memory_swap_limit_in_bytes', 'below the memory limit: refused', async (t) => {
      await refused(
        update(t, await t.start(start), { memoryLimitInBytes: 64n * MIB, memorySwapLimitInBytes: 32n * MIB }),
        ['INVALID_ARGUMENT', 'FAILED_PRECONDITION'],
      );
    }),
    row(
      'UpdatePodSandboxResources',
      'is taken for a running pod, whose containers are untouched',
      async (t) => {
        const id = await t.start(start);
        await t.runtime.updatePodSandboxResources({
          podSandboxId: (await t.plain()).id,
          resources: { cpuShares: 1024n, memoryLimitInBytes: 512n * MIB },
          overhead: {},
        });
        same(await inForce(t, id, 'memory'), String(64n * MIB));
      },
    ),
    row(
      'UpdatePodSandboxResources',
      'what a kubelet reads on cgroup v2 where a pod has no limit is taken: -1, and less with an overhead',
      async (t) => {
        const { id: podSandboxId } = await t.plain();
        for (const [cpuQuota, memoryLimitInBytes] of [
          [-1n, -1n],
          [-25_001n, -120n * MIB - 1n],
        ] as const) {
          const limits = { cpuPeriod: 100_000n, cpuShares: 1024n, cpuQuota, memoryLimitInBytes };
          await t.runtime.updatePodSandboxResources({ podSandboxId, resources: limits, overhead: {} });
        }
      },
    ),
    row('UpdatePodSandboxResources', 'wrong values are InvalidArgument', async (t) => {
      await refused(
        t.runtime.updatePodSandboxResources({
          podSandboxId: (await t.plain()).id,
          resources: { cpuPeriod: 1n },
        }),
        'INVALID_ARGUMENT',
      );
    }),
    row(
      'hugepage_limits',
      'as every kubelet sends them: no error on a machine without huge pages',
      async (t) => {
        await t.start(
          resources({
            hugepageLimits: [
              { pageSize: '2MB', limit: 0n },
              { pageSize: '1GB', limit: 0n },
            ],
          }),
        );
      },
    ),
    row(
      'oom_score_adj',
      "as the kubelet's -997: the container starts, at what the runtime may set",
      async (t) => {
        const pid = await t.pid(await t.start(resources({ oomScoreAdj: -997n })));
        const value = Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'));
        holds(value >= -997 && value <= 0, String(value));
      },
    ),
    row('unified', 'on cgroup v1: refused or no matter; on v2 in force', async (t) => {
      const config = resources({ unified: { 'memory.high': String(50n * MIB) } });
      if (isV1)
        await t
          .create(config)
          .catch(
            async (error: unknown) =>
              await refused(Promise.reject(error), ['INVALID_ARGUMENT', 'FAILED_PRECONDITION', 'UNKNOWN']),
          );
      else
        same(
          cgroupValue(await t.pid(await t.start(config)), { v1: ['memory', ''], v2: 'memory.high' }),
          String(50n * MIB),
        );
    }),
  ],
};
