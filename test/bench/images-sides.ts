// The two who pull, and what one pull costs them: time with the last byte on the disk, and processor time of their own.
import { writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { criClient } from '../../scripts/support/cri-client.ts';
import { type Instance, makeInstance } from '../support/instance.ts';
import { statusMib } from '../support/own-memory.ts';
import { run, runOrThrow } from '../support/run.ts';
import { ContainersTools } from '../support/tools/skopeo.ts';
import { childrenCpu, type Cpu, cpuOf } from './cpu.ts';
import type { BenchDisk } from './images-disk.ts';

export interface Cost {
  /** Seconds until the image was there and the file system synced. */
  readonly seconds: number;
  readonly cpu: Cpu;
}

export interface DaemonCost extends Cost {
  /** The highest resident memory above what the idle daemon had, with all threads. */
  readonly rssMiB: number;
}

const DEADLINE_MS = 600_000;
/** ms after its start until the daemon is idle: the collector has been, what is loaded late is there. */
const REST_MS = 2000;

/** Writes out what others have dirtied, then drops clean pages, names and inodes; says whether the machine let it. */
export async function dropCaches(): Promise<boolean> {
  await runOrThrow(['sync'], { timeoutMs: DEADLINE_MS });
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    return true;
  } catch {
    return false;
  }
}

/** Until everything that was written to the directory's file system is on its disk. */
export async function syncOf(directory: string): Promise<void> {
  await runOrThrow(['sync', '--file-system', directory], { timeoutMs: DEADLINE_MS });
}

/** `count` calls at once for one image, to a daemon that has never seen one. */
export async function daemonPull(disk: BenchDisk, name: string, count = 1): Promise<DaemonCost> {
  const registry = name.slice(0, name.indexOf('/'));
  const registriesConf = `[[registry]]\nlocation = "${registry}"\ninsecure = true\n`;
  const instance = await makeInstance({
    name: 'imgb',
    registriesConf,
    network: 'host-only',
    logLevel: 'info',
  });
  await mkdir(instance.root);
  try {
    await disk.mount(instance.root);
    await instance.start();
    await delay(REST_MS);
    await dropCaches();
    return await measurePull(instance, name, count);
  } finally {
    await instance.terminate();
    await disk.unmount(instance.root);
    await instance.remove();
  }
}

async function measurePull(instance: Instance, name: string, count: number): Promise<DaemonCost> {
  const client = criClient(instance.socket);
  try {
    await client.image.listImages({});
    const pid = instance.pid();
    const idle = await statusMib(pid, 'VmRSS');
    // proc(5): the peak starts anew
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
    const before = cpuOf(pid);
    const startedAt = performance.now();
    await Promise.all(
      Array.from({ length: count }, async () =>
        client.image.pullImage({ image: { image: name } }, { deadlineMs: DEADLINE_MS }),
      ),
    );
    await syncOf(instance.root);
    const seconds = (performance.now() - startedAt) / 1000;
    return { seconds, cpu: between(before, cpuOf(pid)), rssMiB: (await statusMib(pid, 'VmHWM')) - idle };
  } finally {
    client.close();
  }
}

/** `skopeo copy` into a containers/storage of its own, with the overlay driver. */
export async function skopeoPull(disk: BenchDisk, name: string): Promise<Cost> {
  const directory = await mkdtemp(join(tmpdir(), 'troupe-bench-skopeo-'));
  await disk.mount(directory);
  const target = `containers-storage:[overlay@${join(directory, 'graph')}+${join(directory, 'run')}]${name}`;
  try {
    // it keeps blobs there until they are unpacked
    const tools = new ContainersTools(join(directory, 'tools'));
    await dropCaches();
    const before = childrenCpu();
    const startedAt = performance.now();
    await tools.copy(`docker://${name}`, target);
    const cpu = between(before, childrenCpu());
    await syncOf(directory);
    return { seconds: (performance.now() - startedAt) / 1000, cpu };
  } finally {
    // containers/storage keeps its overlay directory bound to itself
    await run(['umount', join(directory, 'graph/overlay')]);
    await disk.unmount(directory);
    await rm(directory, { recursive: true, force: true });
  }
}

const between = (before: Cpu, after: Cpu): Cpu => ({
  user: after.user - before.user,
  system: after.system - before.system,
});
