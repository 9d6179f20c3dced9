// Statistics and metrics of containers and pods.
import { NamespaceMode } from '../../../src/gen/runtime/v1/api_pb.ts';
import { holds, same } from '../expect.ts';
import { type Group, row } from '../row.ts';
import { sandboxLinux } from '../stage.ts';
import { resources, sh, type Trial } from '../trial.ts';
import { eventually } from '../../support/eventually.ts';

const MIB = 1024n * 1024n;
const NOW_NS = (): bigint => BigInt(Date.now()) * 1_000_000n;

async function stats(t: Trial, containerId: string) {
  const { stats: found } = await t.runtime.containerStats({ containerId });
  if (found === undefined) throw new Error('ContainerStats without stats');
  return found;
}

async function podStats(t: Trial, podSandboxId: string) {
  const { stats: found } = await t.runtime.podSandboxStats({ podSandboxId });
  if (found?.linux === undefined) throw new Error('PodSandboxStats without linux');
  return { ...found, linux: found.linux };
}

const listed = async (
  t: Trial,
  filter: NonNullable<Parameters<Trial['runtime']['listContainerStats']>[0]['filter']>,
): Promise<string[]> =>
  (await t.runtime.listContainerStats({ filter })).stats
    .map(({ attributes }) => attributes?.id ?? '')
    .toSorted();

/** One that holds 30 MiB in memory. */
const holding = async (t: Trial): Promise<string> =>
  (
    await t.up(
      "x=$(head -c 31457280 /dev/zero | tr '\\0' x); echo up; while :; do sleep 1; done",
      resources({ memoryLimitInBytes: 200n * MIB }),
    )
  ).id;

const isRecent = (timestamp: bigint | undefined): boolean =>
  timestamp !== undefined && timestamp > NOW_NS() - 60_000_000_000n && timestamp <= NOW_NS() + 5_000_000_000n;

export const statistics: Group = {
  title: 'Statistics and metrics',
  perHandler: false,
  rows: [
    row('ContainerStats', "attributes are the container's", async (t) => {
      const id = await t.start({ labels: { a: 'b' }, annotations: { c: 'd' } });
      const { attributes } = await stats(t, id);
      same(
        [attributes?.id, attributes?.labels, attributes?.annotations, attributes?.metadata?.attempt],
        [id, { a: 'b' }, { c: 'd' }, 0],
      );
    }),
    row('cpu', 'usage_core_nano_seconds is there and grows', async (t) => {
      const id = await t.start(sh('while :; do :; done'));
      const used = async (): Promise<bigint> => (await stats(t, id)).cpu?.usageCoreNanoSeconds?.value ?? 0n;
      const first = await used();
      await eventually('more of it', async () => ((await used()) > first ? true : undefined));
      await t.runtime.stopContainer({ containerId: id, timeout: 0n });
    }),
    row('memory', 'working_set, usage and rss of a process that holds 30 MiB', async (t) => {
      const { memory } = await stats(t, await holding(t));
      for (const value of [
        memory?.workingSetBytes?.value,
        memory?.usageBytes?.value,
        memory?.rssBytes?.value,
      ]) {
        holds(value !== undefined && value >= 30n * MIB && value < 200n * MIB, String(value));
      }
    }),
    row('memory', 'available_bytes is what is left of the limit', async (t) => {
      const { memory } = await stats(t, await holding(t));
      same(memory?.availableBytes?.value, 200n * MIB - (memory?.workingSetBytes?.value ?? 0n));
    }),
    row('memory', 'page faults are counted', async (t) =>
      holds(((await stats(t, await t.start())).memory?.pageFaults?.value ?? 0n) > 0n, 'none'),
    ),
    row('writable_layer', 'grows with what the container writes, and names its mount', async (t) => {
      const id = await t.start();
      await t.exec(id, 'head -c 5242880 /dev/urandom > /big; sync');
      const layer = await eventually('5 MiB', async () => {
        const { writableLayer } = await stats(t, id);
        return (writableLayer?.usedBytes?.value ?? 0n) >= 5n * MIB ? writableLayer : undefined;
      });
      holds(
        (layer.inodesUsed?.value ?? 0n) > 0n && (layer.fsId?.mountpoint ?? '').startsWith('/'),
        'no inodes or mountpoint',
      );
    }),
    row('timestamps', 'each part has a time that is now', async (t) => {
      const { cpu, memory } = await stats(t, await t.start());
      same([isRecent(cpu?.timestamp), isRecent(memory?.timestamp)], [true, true]);
    }),
    row('ListContainerStats', 'a running container and no ended one (K)', async (t) => {
      const labels = { set: t.stage.name('set') };
      const running = await t.start({ labels });
      const { id: exited } = await t.run({ labels, command: ['true'] });
      const ids = await listed(t, { labelSelector: labels });
      same([ids.includes(running), ids.includes(exited)], [true, false]);
    }),
    row('ListContainerStats', 'filter by id, pod, labels and all of them', async (t) => {
      const pod = await t.pod();
      const labels = { set: t.stage.name('set') };
      const [one, two] = await Promise.all([t.start({ labels }, pod), t.start({}, pod)]);
      same(await listed(t, { id: one }), [one]);
      same(await listed(t, { podSandboxId: pod.id }), [one, two].toSorted());
      same(await listed(t, { labelSelector: labels }), [one]);
      same(await listed(t, { id: two, labelSelector: labels }), []);
      same(await listed(t, { id: 'f'.repeat(64) }), []);
    }),
    row('ListContainerStats', 'without a filter', async (t) => {
      const id = await t.start();
      same(
        (await t.runtime.listContainerStats({})).stats.some(({ attributes }) => attributes?.id === id),
        true,
      );
    }),
    row('StreamContainerStats', 'says the same as the list', async (t) => {
      const id = await t.start();
      const found: string[] = [];
      for await (const { containerStats } of t.stage.runtimeStreams.streamContainerStats({ filter: { id } }))
        found.push(...containerStats.map(({ attributes }) => attributes?.id ?? ''));
      same(found, [id]);
    }),
    row('PodSandboxStats', 'cpu, memory and processes of the pod (K)', async (t) => {
      const pod = await t.pod();
      await Promise.all([t.start({}, pod), t.start({}, pod)]);
      const { linux } = await podStats(t, pod.id);
      holds((linux.cpu?.usageCoreNanoSeconds?.value ?? 0n) > 0n, 'cpu');
      holds((linux.memory?.workingSetBytes?.value ?? 0n) > 0n, 'memory');
      holds((linux.process?.processCount?.value ?? 0n) >= 2n, 'processes');
    }),
    row('PodSandboxStats', "its containers' statistics are in it", async (t) => {
      const pod = await t.pod();
      const id = await t.start({}, pod);
      same(
        (await podStats(t, pod.id)).linux.containers.map(({ attributes }) => attributes?.id),
        [id],
      );
    }),
    row('PodSandboxStats', 'network: eth0 with its bytes', async (t) => {
      const pod = await t.stage.shared('network');
      await t.start({ linux: { securityContext: { namespaceOptions: { pid: 1 } } } }, pod);
      const { defaultInterface } = (await podStats(t, pod.id)).linux.network ?? {};
      same(
        [
          defaultInterface?.name,
          defaultInterface?.rxBytes !== undefined,
          defaultInterface?.txBytes !== undefined,
        ],
        ['eth0', true, true],
      );
    }),
    row('PodSandboxStats', 'network of a pod in which nothing runs: eth0 with its bytes', async (t) => {
      const { id } = await t.pod({
        linux: sandboxLinux({ network: NamespaceMode.POD, pid: NamespaceMode.CONTAINER }),
      });
      const { defaultInterface } = (await podStats(t, id)).linux.network ?? {};
      same([defaultInterface?.name, defaultInterface?.rxBytes !== undefined], ['eth0', true]);
    }),
    row('PodSandboxStats', "attributes are the pod's", async (t) => {
      const { id, config } = await t.pod({ annotations: { c: 'd' } });
      const { attributes } = await podStats(t, id);
      same(
        [attributes?.id, attributes?.labels, attributes?.annotations, attributes?.metadata?.uid],
        [id, config.labels, { c: 'd' }, config.metadata?.uid],
      );
    }),
    row('PodSandboxStats', 'of a stopped pod answers or is NotFound, and kills nothing', async (t) => {
      const pod = await t.pod();
      await t.start({}, pod);
      await t.runtime.stopPodSandbox({ podSandboxId: pod.id });
      await t.runtime.podSandboxStats({ podSandboxId: pod.id }).catch(() => {});
      await t.runtime.version({});
    }),
    row('ListPodSandboxStats', 'filter by id and labels', async (t) => {
      const { id, config } = await t.pod();
      const ids = async (filter: object): Promise<string[]> =>
        (await t.runtime.listPodSandboxStats({ filter })).stats.map(({ attributes }) => attributes?.id ?? '');
      same(
        [
          await ids({ id }),
          await ids({ labelSelector: { ...config.labels } }),
          await ids({ id: 'f'.repeat(64) }),
        ],
        [[id], [id], []],
      );
    }),
    row(
      'ListPodSandboxStats',
      'while containers end: each answer is whole, the runtime lives (K)',
      async (t) => {
        const pod = await t.pod();
        await Promise.all([
          ...Array.from({ length: 6 }, async () => await t.run({ command: ['true'] }, pod)),
          ...Array.from({ length: 6 }, async () => await t.runtime.listPodSandboxStats({})),
        ]);
        same((await t.runtime.listPodSandboxStats({ filter: { id: pod.id } })).stats.length, 1);
      },
    ),
    row('StreamPodSandboxStats', 'says the same as the list', async (t) => {
      const { id } = await t.plain();
      const found: string[] = [];
      for await (const { podSandboxStats } of t.stage.runtimeStreams.streamPodSandboxStats({
        filter: { id },
      }))
        found.push(...podSandboxStats.map(({ attributes }) => attributes?.id ?? ''));
      same(found, [id]);
    }),
    row(
      'ListMetricDescriptors',
      'is the same each time, with names, helps and labels',
      async ({ runtime }) => {
        const { descriptors } = await runtime.listMetricDescriptors({});
        holds(
          descriptors.length > 0 && descriptors.every(({ name, help }) => name !== '' && help !== ''),
          'none, or without name or help',
        );
        same(descriptors.length, new Set(descriptors.map(({ name }) => name)).size);
        same((await runtime.listMetricDescriptors({})).descriptors, descriptors);
      },
    ),
    row(
      'ListPodSandboxMetrics',
      'each metric has a descriptor, and as many values as that has labels',
      async (t) => {
        const pod = await t.plain();
        const id = await t.start();
        const labels = new Map(
          (await t.runtime.listMetricDescriptors({})).descriptors.map(({ name, labelKeys }) => [
            name,
            labelKeys.length,
          ]),
        );
        const found = (await t.runtime.listPodSandboxMetrics({})).podMetrics.find(
          ({ podSandboxId }) => podSandboxId === pod.id,
        );
        const own = found?.containerMetrics.find(({ containerId }) => containerId === id)?.metrics ?? [];
        holds(own.length > 0, 'no metrics of the container');
        same(
          [...own, ...(found?.metrics ?? [])]
            .filter(({ name, labelValues }) => labels.get(name) !== labelValues.length)
            .map(({ name }) => name),
          [],
        );
      },
    ),
    row('StreamPodSandboxMetrics', 'has the pod', async (t) => {
      const pod = await t.plain();
      const found: string[] = [];
      for await (const { podSandboxMetrics } of t.stage.runtimeStreams.streamPodSandboxMetrics({}))
        found.push(...podSandboxMetrics.map(({ podSandboxId }) => podSandboxId));
      same(found.filter((id) => id === pod.id).length, 1);
    }),
  ],
};
