// What cgroup v2 accounts to a pod, beside the kernel's own files: pressure, swap, OOM kills, huge pages, frozen
// containers, resizes, and who counts as the pod's. With the cgroup driver of TROUPE_TEST_CGROUP_DRIVER.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { CGROUP_DRIVER } from '../../support/instance.ts';
import { until } from '../../support/eventually.ts';
import { runOrThrow } from '../../support/run.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../../e2e/support/pods.ts';
import { makeWorld, type World } from '../../e2e/support/world.ts';
import { cgroupOf, control } from './node.ts';

const MIB = 1024 * 1024;
const SWAP_FILE = '/var/swap';
const SWAP_MIB = 256;
/** Of a known amount; what a shell needs beside it is within it. */
const TOLERANCE = 0.1;

/** As a kubelet names the cgroup of a pod with this uid. */
const parentOf = (uid: string): string =>
  CGROUP_DRIVER === 'systemd'
    ? `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${uid.replaceAll('-', '_')}.slice`
    : `/kubepods/besteffort/pod${uid}`;

/** Holds this much anonymous memory once it has printed `done`: tail keeps what it may have to print. */
const holding = (bytes: number): string[] => [
  'sh',
  '-c',
  `{ dd if=/dev/zero bs=1M count=${bytes / MIB}; echo done >&2; exec sleep 3600; } | tail -c ${bytes}`,
];

interface Resources {
  readonly memoryLimitInBytes?: bigint;
  readonly memorySwapLimitInBytes?: bigint;
  readonly cpuQuota?: bigint;
  readonly cpuPeriod?: bigint;
  readonly hugepageLimits?: { pageSize: string; limit: bigint }[];
}

/** Pods of one world, each in a cgroup of its own. */
class Pods {
  readonly #world: World;
  readonly #image: string;

  private constructor(world: World, image: string) {
    this.#world = world;
    this.#image = image;
  }

  static async open(name: string, config = ''): Promise<Pods> {
    const world = await makeWorld({ name, config });
    return new Pods(world, await world.pull());
  }

  get runtime() {
    return this.#world.client.runtime;
  }

  get state(): string {
    return this.#world.instance.state;
  }

  /** The pod's name is also what its uid ends in. */
  async run(name: string) {
    const logDirectory = join(this.#world.logs, name);
    await mkdir(logDirectory, { recursive: true });
    const config = sandboxConfig({ name, logDirectory, cgroupParent: parentOf(`uid-${name}`) });
    const { podSandboxId } = await this.runtime.runPodSandbox({ config });
    const start = async (container: string, command: readonly string[], resources: Resources = {}) => {
      const request = containerConfig({ name: container, image: this.#image, command });
      const { containerId } = await this.runtime.createContainer({
        podSandboxId,
        sandboxConfig: config,
        config: { ...request, linux: { ...request.linux, resources: { oomScoreAdj: 500n, ...resources } } },
      } as Parameters<typeof this.runtime.createContainer>[0]);
      await this.runtime.startContainer({ containerId });
      return containerId;
    };
    const said = async (container: string, word: string): Promise<boolean> =>
      await until(() => readFileSync(join(logDirectory, container, '0.log'), 'utf8').includes(word));
    return { id: podSandboxId, cgroup: parentOf(`uid-${name}`), start, said };
  }

  async pid(containerId: string): Promise<number> {
    const { info } = await this.runtime.containerStatus({ containerId, verbose: true });
    return (JSON.parse(info['info'] ?? '{}') as { pid: number }).pid;
  }

  async cgroup(containerId: string): Promise<string> {
    return cgroupOf(await this.pid(containerId));
  }

  async stats(containerId: string) {
    const { stats } = await this.runtime.containerStats({ containerId });
    if (stats === undefined) throw new Error(`no statistics of ${containerId}`);
    return stats;
  }

  async ended(containerId: string) {
    return await until(async () => {
      const { status } = await this.runtime.containerStatus({ containerId });
      return status?.state === ContainerState.CONTAINER_EXITED ? status : undefined;
    });
  }

  /** A metric of a container, by cAdvisor's name. */
  async metric(containerId: string, name: string): Promise<bigint | undefined> {
    const { podMetrics } = await this.runtime.listPodSandboxMetrics({});
    return podMetrics
      .flatMap(({ containerMetrics }) => containerMetrics)
      .find((one) => one.containerId === containerId)
      ?.metrics.find((one) => one.name === name)?.value?.value;
  }

  async removeAll(): Promise<void> {
    for (const { id: podSandboxId } of (await this.runtime.listPodSandbox({})).items) {
      await this.runtime.stopPodSandbox({ podSandboxId });
      await this.runtime.removePodSandbox({ podSandboxId });
    }
  }

  async close(): Promise<void> {
    await this.removeAll();
    await this.#world.close();
  }
}

/** The total of a line of a pressure file, microseconds. */
const pressure = (cgroup: string, file: string, line: 'some' | 'full'): bigint =>
  BigInt(new RegExp(`^${line} .*total=(\\d+)`, 'mu').exec(control(cgroup, file))?.[1] ?? '0');

const near = (value: bigint | number | undefined, wanted: bigint | number): void => {
  expect(Number(value)).toBeGreaterThanOrEqual(Number(wanted) * (1 - TOLERANCE));
  expect(Number(value)).toBeLessThanOrEqual(Number(wanted) * (1 + TOLERANCE));
};

/** Pids of a program, by its name. */
const processesOf = (name: string): number[] =>
  readdirSync('/proc')
    .filter((pid) => /^\d+$/u.test(pid))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === name;
      } catch {
        return false;
      }
    })
    .map(Number);

describe(`what is accounted to a pod, driver ${CGROUP_DRIVER}`, () => {
  let pods: Pods;

  beforeAll(async () => {
    pods = await Pods.open('acct');
  });
  afterAll(async () => await pods.close());
  afterEach(async () => await pods.removeAll());

  it.each(['cpu', 'memory', 'io'] as const)(
    'PSI of %s is the kernel’s, of container and pod',
    async (kind) => {
      const pod = await pods.run(`psi${kind}`);
      // throttled nine tenths of the time: a wait for the processor
      const id = await pod.start('main', ['sh', '-c', 'while :; do :; done'], {
        cpuQuota: 10_000n,
        cpuPeriod: 100_000n,
      });
      const cgroup = await pods.cgroup(id);
      if (kind === 'cpu') await until(() => pressure(cgroup, 'cpu.pressure', 'some') > 500_000n);
      const least = pressure(cgroup, `${kind}.pressure`, 'some');
      // a reading is used for a second
      const some = await until(async () => {
        const total = (await pods.stats(id))[kind]?.psi?.Some?.Total;
        return total !== undefined && total >= least * 1000n ? total : undefined;
      });
      expect(some).toBeLessThanOrEqual(pressure(cgroup, `${kind}.pressure`, 'some') * 1000n);
      const ofPod = await until(async () => {
        const { stats } = await pods.runtime.podSandboxStats({ podSandboxId: pod.id });
        const total = stats?.linux?.[kind]?.psi?.Some?.Total;
        return total !== undefined && total >= least * 1000n ? total : undefined;
      });
      expect(ofPod).toBeLessThanOrEqual(pressure(pod.cgroup, `${kind}.pressure`, 'some') * 1000n);
    },
  );

  it('a container swaps up to its limit, which is that of memory and swap together, and the statistics agree', async () => {
    await runOrThrow(['dd', 'if=/dev/zero', `of=${SWAP_FILE}`, 'bs=1M', `count=${SWAP_MIB}`]);
    await runOrThrow(['chmod', '600', SWAP_FILE]);
    await runOrThrow(['mkswap', SWAP_FILE]);
    await runOrThrow(['swapon', SWAP_FILE]);
    try {
      const pod = await pods.run('swap');
      const id = await pod.start('main', holding(96 * MIB), {
        memoryLimitInBytes: BigInt(64 * MIB),
        memorySwapLimitInBytes: BigInt(192 * MIB),
      });
      await pod.said('main', ' F done');
      const cgroup = await pods.cgroup(id);
      expect(control(cgroup, 'memory.swap.max')).toBe(String(128 * MIB));
      const { swap } = await pods.stats(id);
      expect(swap?.swapUsageBytes?.value).toBeGreaterThan(BigInt(24 * MIB));
      near(swap?.swapUsageBytes?.value, BigInt(control(cgroup, 'memory.swap.current')));
      near(
        swap?.swapAvailableBytes?.value,
        BigInt(128 * MIB) - BigInt(control(cgroup, 'memory.swap.current')),
      );
      // without a limit of both there is no swap: the end of the shell is that of tail
      const bare = await pod.start(
        'bare',
        ['sh', '-c', `dd if=/dev/zero bs=1M count=96 | tail -c ${96 * MIB} >/dev/null`],
        { memoryLimitInBytes: BigInt(64 * MIB) },
      );
      expect((await pods.ended(bare)).exitCode).toBe(137);
    } finally {
      await pods.removeAll();
      await runOrThrow(['swapoff', SWAP_FILE], { timeoutMs: 300_000 });
    }
  });

  it('OOM kills are counted, those of children too, and one by the pod’s own limit is the container’s', async () => {
    const pod = await pods.run('oom');
    const HOG = 'x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done';
    const parent = await pod.start('parent', ['sh', '-c', `sh -c '${HOG}'; echo over; exec sleep 3600`], {
      memoryLimitInBytes: BigInt(32 * MIB),
    });
    await pod.said('parent', ' F over');
    const kills = BigInt(
      /^oom_kill (\d+)$/mu.exec(control(await pods.cgroup(parent), 'memory.events'))?.[1] ?? '0',
    );
    expect(kills).toBeGreaterThanOrEqual(1n);
    expect(await until(async () => (await pods.metric(parent, 'container_oom_events_total')) === kills)).toBe(
      true,
    );
    // as the kubelet limits a pod as a whole
    writeFileSync(join('/sys/fs/cgroup', pod.cgroup, 'memory.max'), String(48 * MIB));
    const hog = await pod.start('hog', ['sh', '-c', HOG], { memoryLimitInBytes: BigInt(512 * MIB) });
    expect(await pods.ended(hog)).toMatchObject({ exitCode: 137, reason: 'OOMKilled' });
  });

  it('limits of huge pages are set where the kernel has them, and keep no container from its start elsewhere', async () => {
    const pod = await pods.run('huge');
    const id = await pod.start('main', untilTermed(0), {
      hugepageLimits: [{ pageSize: '2MB', limit: BigInt(4 * MIB) }],
    });
    const file = join('/sys/fs/cgroup', await pods.cgroup(id), 'hugetlb.2MB.max');
    if (existsSync(file)) expect(readFileSync(file, 'utf8').trim()).toBe(String(4 * MIB));
    else
      expect((await pods.runtime.containerStatus({ containerId: id })).status?.state).toBe(
        ContainerState.CONTAINER_RUNNING,
      );
  });

  it('a frozen container has statistics; its stop thaws it, so that it ends by its own trap', async () => {
    const pod = await pods.run('frozen');
    const id = await pod.start('main', untilTermed(0));
    await pod.said('main', ' F up');
    const cgroup = await pods.cgroup(id);
    writeFileSync(join('/sys/fs/cgroup', cgroup, 'cgroup.freeze'), '1');
    await until(() => control(cgroup, 'cgroup.events').includes('frozen 1'));
    expect((await pods.stats(id)).memory?.usageBytes?.value).toBeGreaterThan(0n);
    await pods.runtime.stopContainer({ containerId: id, timeout: 60n });
    expect((await pods.runtime.containerStatus({ containerId: id })).status).toMatchObject({
      state: ContainerState.CONTAINER_EXITED,
      exitCode: 0,
    });
    await pods.runtime.removeContainer({ containerId: id });
  });

  it('a frozen pod is stopped, though its monitors are frozen, too: its end is not known', async () => {
    const pod = await pods.run('frost');
    const id = await pod.start('main', untilTermed(0));
    writeFileSync(join('/sys/fs/cgroup', pod.cgroup, 'cgroup.freeze'), '1');
    await until(() => control(pod.cgroup, 'cgroup.events').includes('frozen 1'));
    await pods.runtime.stopContainer({ containerId: id, timeout: 1n });
    // 255: the monitor, which would have said 137, did not run
    expect(await pods.ended(id)).toMatchObject({ exitCode: 255 });
    await pods.removeAll();
    expect((await pods.runtime.listPodSandbox({})).items).toEqual([]);
  });

  it('a resize in place changes limit and what is available; one below what is in use is refused', async () => {
    const pod = await pods.run('resize');
    const id = await pod.start('main', holding(32 * MIB), { memoryLimitInBytes: BigInt(64 * MIB) });
    await pod.said('main', ' F done');
    const cgroup = await pods.cgroup(id);
    await pods.runtime.updateContainerResources({
      containerId: id,
      linux: { memoryLimitInBytes: BigInt(128 * MIB) },
    });
    expect(control(cgroup, 'memory.max')).toBe(String(128 * MIB));
    const { memory } = await until(async () => {
      const stats = await pods.stats(id);
      return (stats.memory?.availableBytes?.value ?? 0n) > BigInt(64 * MIB) ? stats : undefined;
    });
    near(memory?.availableBytes?.value, BigInt(128 * MIB) - (memory?.workingSetBytes?.value ?? 0n));
    await expect(
      pods.runtime.updateContainerResources({
        containerId: id,
        linux: { memoryLimitInBytes: BigInt(16 * MIB) },
      }),
    ).rejects.toThrow(/UpdateContainerResources/u);
    expect(control(cgroup, 'memory.max')).toBe(String(128 * MIB));
    await pods.runtime.updatePodSandboxResources({
      podSandboxId: pod.id,
      resources: { memoryLimitInBytes: BigInt(256 * MIB) },
    });
  });

  it('monitors and containers are in the pod’s cgroup, whose memory is the pod’s', async () => {
    const pod = await pods.run('whose');
    const id = await pod.start('main', holding(32 * MIB));
    await pod.said('main', ' F done');
    const monitor = Number(readFileSync(join(pods.state, 'containers', id, 'conmon.pid'), 'utf8'));
    for (const pid of [await pods.pid(id), monitor])
      expect(cgroupOf(pid).startsWith(`${pod.cgroup}/`)).toBe(true);
    const { stats } = await pods.runtime.podSandboxStats({ podSandboxId: pod.id });
    near(stats?.linux?.memory?.usageBytes?.value, BigInt(control(pod.cgroup, 'memory.current')));
    expect(stats?.linux?.memory?.usageBytes?.value).toBeGreaterThan(BigInt(32 * MIB));
  });
});

describe(`fuse-overlayfs, driver ${CGROUP_DRIVER}`, () => {
  it('runs in the pod’s cgroup, and ends with the container', async () => {
    expect(processesOf('fuse-overlayfs')).toEqual([]);
    const pods = await Pods.open('fuse', '[storage]\ndriver = "fuse-overlayfs"\n');
    try {
      const pod = await pods.run('fused');
      const id = await pod.start('main', untilTermed(0));
      const [pid = 0, ...others] = processesOf('fuse-overlayfs');
      expect(others).toEqual([]);
      expect(cgroupOf(pid)).toBe(
        CGROUP_DRIVER === 'systemd'
          ? `${pod.cgroup}/troupe-fuse-${id}-${pid}.scope`
          : `${pod.cgroup}/troupe-sandbox-${pod.id}/monitors`,
      );
      await pods.removeAll();
      await until(() => processesOf('fuse-overlayfs').length === 0);
    } finally {
      await pods.close();
    }
  });
});
