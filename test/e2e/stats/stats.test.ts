// Statistics and metrics of a pod that has done a known amount of everything, beside the kernel's own files.
import { mkdir } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type {
  ContainerStats,
  ListPodSandboxMetricsResponse,
  PodSandboxStats,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { cpuOf } from '../../bench/cpu.ts';
import { Crictl, describePods, untilHolds } from '../support/crictl.ts';
import { containerConfig, sandboxConfig } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';

const MIB = 1024 * 1024;
/** USER_HZ, on every Linux. */
const TICKS_A_SECOND = 100;
const SECOND_NS = 1_000_000_000;
const MS_NS = 1_000_000;
const ALLOCATED = 100 * MIB;
const WRITTEN = 50 * MIB;
const SENT = 10 * MIB;
const BURNT_SECONDS = 2;
/** Of the known amount; what a shell and dd themselves need is within it. */
const TOLERANCE = 0.05;

/** TCP and Ethernet add 66 bytes to each 1448. */
const HEADERS = 66 / 1448;

const WAIT = 'echo done; exec sleep 3600';

/** Each says `done` when its amount is reached, and then only waits. */
const PROGRAMS = {
  // the kernel's own count of this shell's CPU time ends the loop (proc_pid_stat: utime and stime are the 14th and 15th
  // field): no clock decides how much that is
  cpu: `while read -r ${'x '.repeat(13)}user system rest < /proc/$$/stat; [ $((user + system)) -lt ${BURNT_SECONDS * TICKS_A_SECOND} ]; do :; done; ${WAIT}`,
  // tail holds what it may have to print
  memory: `{ dd if=/dev/zero bs=1M count=${ALLOCATED / MIB}; echo done >&2; exec sleep 3600; } | tail -c ${ALLOCATED}`,
  disk: `dd if=/dev/zero of=/written bs=1M count=${WRITTEN / MIB}; ${WAIT}`,
  network: `dd if=/dev/zero bs=1M count=${SENT / MIB} | nc $(ip route | sed -n "s/default via \\([^ ]*\\).*/\\1/p") $PORT; ${WAIT}`,
} as const;
type Load = keyof typeof PROGRAMS;

const near = (value: bigint | number | undefined, wanted: number): void => {
  expect(Number(value)).toBeGreaterThanOrEqual(wanted * (1 - TOLERANCE));
  expect(Number(value)).toBeLessThanOrEqual(wanted * (1 + TOLERANCE));
};

/** A server of the host that takes everything and ends when its client has. */
async function listening(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer((socket) => socket.on('error', () => socket.destroy()).resume());
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
  const address = server.address();
  return { server, port: typeof address === 'object' && address !== null ? address.port : 0 };
}

describePods('statistics of a pod with a known load', () => {
  let world: World;
  let sink: Server;
  let podSandboxId: string;
  const ids = new Map<Load, string>();

  beforeAll(async () => {
    world = await makeWorld({ name: 'stats' });
    const { server, port } = await listening();
    sink = server;
    const image = await world.pull();
    const { runtime } = world.client;
    const logs = join(world.logs, 'stats');
    await mkdir(logs);
    const config = sandboxConfig({ name: 'stats', logDirectory: logs });
    ({ podSandboxId } = await runtime.runPodSandbox({ config }));
    for (const load of Object.keys(PROGRAMS) as Load[]) {
      const command = ['sh', '-c', `PORT=${port}; ${PROGRAMS[load]}`];
      const request = containerConfig({ name: load, image, command });
      const { containerId } = await runtime.createContainer({
        podSandboxId,
        config: request,
        sandboxConfig: config,
      });
      ids.set(load, containerId);
      await runtime.startContainer({ containerId });
    }
    for (const load of ids.keys()) await untilHolds(join(logs, load, '0.log'), ' F done');
  });
  afterAll(async () => {
    sink.close();
    await world.close();
  });

  /** CPU time of the container's first process. */
  const burntNs = async (containerId: string): Promise<number> => {
    const { info } = await world.client.runtime.containerStatus({ containerId, verbose: true });
    const { pid } = JSON.parse(info['info'] ?? '{}') as { readonly pid: number };
    const { user, system } = cpuOf(pid);
    return (user + system) * MS_NS;
  };

  const statsOf = async (load: Load): Promise<ContainerStats | undefined> =>
    (await world.client.runtime.containerStats({ containerId: ids.get(load) ?? '' })).stats;

  test('ContainerStats: CPU time, memory and written bytes agree with the container’s work to 5 %', async () => {
    // between two reads of its own time a busy machine may give the program more than it waits for
    const burnt = await burntNs(ids.get('cpu') ?? '');
    expect(burnt).toBeGreaterThanOrEqual(BURNT_SECONDS * SECOND_NS);
    const cpu = await statsOf('cpu');
    near(cpu?.cpu?.usageCoreNanoSeconds?.value, burnt);
    const memory = await statsOf('memory');
    near(memory?.memory?.workingSetBytes?.value, ALLOCATED);
    near(memory?.memory?.usageBytes?.value, ALLOCATED);
    const disk = await statsOf('disk');
    near(disk?.writableLayer?.usedBytes?.value, WRITTEN);
    expect(Number(memory?.writableLayer?.usedBytes?.value)).toBeLessThan(WRITTEN * TOLERANCE);
  });

  test('PodSandboxStats: the pod’s figures include its containers and the bytes sent', async () => {
    const { stats } = await world.client.runtime.podSandboxStats({ podSandboxId });
    near(stats?.linux?.network?.defaultInterface?.txBytes?.value, SENT * (1 + HEADERS));
    expect(stats?.linux?.containers.map((one) => one.attributes?.metadata?.name).toSorted()).toEqual(
      Object.keys(PROGRAMS).toSorted(),
    );
    expect(Number(stats?.linux?.cpu?.usageCoreNanoSeconds?.value)).toBeGreaterThan(
      BURNT_SECONDS * SECOND_NS * (1 - TOLERANCE),
    );
    expect(stats?.linux?.process?.processCount?.value).toBeGreaterThanOrEqual(6n);
  });

  test('ListContainerStats, StreamContainerStats, ListPodSandboxStats, StreamPodSandboxStats: lists and streams have the same containers and pods', async () => {
    const { runtime, runtimeStreams } = world.client;
    const listed = (await runtime.listContainerStats({})).stats;
    const streamed: ContainerStats[] = [];
    for await (const { containerStats } of runtimeStreams.streamContainerStats({}))
      streamed.push(...containerStats);
    const names = (all: readonly ContainerStats[]) => all.map((one) => one.attributes?.id ?? '').toSorted();
    expect(names(listed)).toEqual([...ids.values()].toSorted());
    expect(names(streamed)).toEqual(names(listed));
    const pods: PodSandboxStats[] = [];
    for await (const { podSandboxStats } of runtimeStreams.streamPodSandboxStats({
      filter: { id: podSandboxId },
    }))
      pods.push(...podSandboxStats);
    expect(pods.map((one) => one.attributes?.id)).toEqual([podSandboxId]);
    const listedPods = (await runtime.listPodSandboxStats({})).stats;
    expect(listedPods.map((one) => one.attributes?.id)).toEqual([podSandboxId]);
    expect(listedPods[0]?.linux?.containers.map((one) => one.attributes?.id).toSorted()).toEqual(
      names(listed),
    );
  });

  test('ListMetricDescriptors, ListPodSandboxMetrics, StreamPodSandboxMetrics: the metrics have cAdvisor’s names, each with the labels of its descriptor', async () => {
    const { runtime, runtimeStreams } = world.client;
    const { descriptors } = await runtime.listMetricDescriptors({});
    const keys = new Map(descriptors.map(({ name, labelKeys }) => [name, labelKeys]));
    const { podMetrics } = await runtime.listPodSandboxMetrics({});
    const all = podMetrics.flatMap(({ metrics, containerMetrics }) => [
      ...metrics,
      ...containerMetrics.flatMap((one) => one.metrics),
    ]);
    for (const { name, labelValues } of all)
      expect([name, labelValues.length]).toEqual([name, keys.get(name)?.length]);

    const value = (load: Load, name: string) =>
      podMetrics[0]?.containerMetrics
        .find(({ containerId }) => containerId === ids.get(load))
        ?.metrics.find((one) => one.name === name)?.value?.value;
    near(value('memory', 'container_memory_working_set_bytes'), ALLOCATED);
    near(value('disk', 'container_fs_usage_bytes'), WRITTEN);
    expect(Number(value('cpu', 'container_cpu_usage_seconds_total'))).toBeGreaterThanOrEqual(
      BURNT_SECONDS - 1,
    );
    expect(value('cpu', 'container_processes')).toBe(1n);
    expect(value('memory', 'container_threads')).toBe(3n);
    expect(Number(value('cpu', 'container_file_descriptors'))).toBeGreaterThanOrEqual(3);
    // a kernel may give each network namespace tunnels of its own
    const sent = podMetrics[0]?.metrics.find(
      ({ name, labelValues }) =>
        name === 'container_network_transmit_bytes_total' && labelValues.at(-1) === 'eth0',
    );
    near(sent?.value?.value, SENT * (1 + HEADERS));
    expect(sent?.labelValues.slice(-4)).toEqual(['default', 'stats', 'POD', 'eth0']);

    const streamed: ListPodSandboxMetricsResponse['podMetrics'] = [];
    for await (const { podSandboxMetrics } of runtimeStreams.streamPodSandboxMetrics({}))
      streamed.push(...podSandboxMetrics);
    expect(streamed.map((one) => one.podSandboxId)).toEqual([podSandboxId]);
    expect(podMetrics.map((one) => one.podSandboxId)).toEqual([podSandboxId]);
  });

  test('crictl stats, statsp and metricsp show the statistics', async () => {
    const crictl = new Crictl(world);
    expect(await crictl.ok('stats')).toContain('memory');
    expect(await crictl.ok('statsp')).toContain('stats');
    expect(await crictl.ok('metricsp')).toContain('container_memory_working_set_bytes');
  });
});
