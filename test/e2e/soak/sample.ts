/** What a daemon and the machine hold at one moment of a soak. */
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CriClient } from '../../../scripts/support/cri-client.ts';
import { introspectionClient } from '../../../src/introspection/client.ts';
import { memoryOf } from '../../bench/daemon-pods.ts';
import { lagIn, metricIn, metricsText } from '../../bench/lag.ts';
import type { Instance } from '../../support/instance.ts';
import type { Latency, Meter } from './meter.ts';

const MIB = 1024 * 1024;
const CALL_MS = 30_000;

/** What pods and containers take of the machine, by kind. */
export interface Held {
  readonly pods: number;
  readonly containers: number;
  readonly mounts: number;
  /** Pinned network, IPC and UTS namespaces: one directory for each pod. */
  readonly namespaces: number;
  readonly cgroups: number;
  /** Addresses of host-local. */
  readonly leases: number;
  readonly monitors: number;
}

export interface Sample {
  /** Seconds since the start of the load. */
  readonly at: number;
  /** Of the daemon: another one after each kill. */
  readonly pid: number;
  /** MiB. `heap` holds garbage that is not yet collected. */
  readonly rss: number;
  readonly pss: number;
  readonly anonymous: number;
  readonly heap: number;
  /** Without the accounting files of cgroups, which statistics keep open for a while. */
  readonly descriptors: number;
  readonly accounting: number;
  readonly threads: number;
  /** Seconds of processor time since its start. */
  readonly cpu: number;
  /** Bytes of the journal's directory. */
  readonly journal: number;
  readonly actors: number;
  /** Bytes and files of the image store, as ImageFsInfo says. */
  readonly imageBytes: number;
  readonly imageFiles: number;
  /** ms that the event loop stood still: 99.9 % and the longest of the time since the sample before. */
  readonly lag: { readonly p999: number; readonly max: number };
  readonly held: Held;
  /** By kind of call, since the sample before. */
  readonly calls: Readonly<Record<string, Latency>>;
}

/** Where a sample is taken. */
export interface Sampled {
  readonly instance: Instance;
  readonly client: CriClient;
  /** `http://host:port` of the daemon's page. */
  readonly origin: string;
  readonly meter: Meter;
}

/** Takes one; rejects while the daemon is down. */
export async function takeSample(sampled: Sampled, at: number): Promise<Sample> {
  const { instance, client, origin, meter } = sampled;
  const pid = instance.pid();
  const metrics = await metricsText(origin);
  const status = await readFile(`/proc/${pid}/status`, 'latin1');
  const { actors } = await introspectionClient(join(instance.state, 'introspection.sock'), CALL_MS).list({});
  const [store] = (await client.image.imageFsInfo({})).imageFilesystems;
  return {
    at: Math.round(at),
    pid,
    ...memoryOf(pid),
    heap: metricIn(metrics, 'troupe_process_heap_used_bytes') / MIB,
    ...(await descriptorsOf(pid)),
    threads: Number(/^Threads:\s+(\d+)/mu.exec(status)?.[1]),
    cpu: metricIn(metrics, 'troupe_process_cpu_seconds_total'),
    journal: await sizeOf(join(instance.root, 'journal')),
    actors: actors.length,
    imageBytes: Number(store?.usedBytes?.value ?? 0n),
    imageFiles: Number(store?.inodesUsed?.value ?? 0n),
    lag: lagIn(metrics),
    held: await heldOf(sampled),
    calls: meter.drain(),
  };
}

async function descriptorsOf(pid: number): Promise<Pick<Sample, 'descriptors' | 'accounting'>> {
  const directory = `/proc/${pid}/fd`;
  const targets = await Promise.all(
    (await readdir(directory)).map((name) => readlink(join(directory, name)).catch(() => '')),
  );
  const accounting = targets.filter((target) => target.startsWith('/sys/fs/cgroup/')).length;
  return { descriptors: targets.filter((target) => target !== '').length - accounting, accounting };
}

async function sizeOf(directory: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(directory))
    sum += await stat(join(directory, name)).then(
      ({ size }) => size,
      () => 0,
    );
  return sum;
}

/** Counted on the machine, by what has the instance's word in its name. */
async function heldOf({ instance, client: { runtime } }: Sampled): Promise<Held> {
  const [word = ''] = instance.words;
  const { items } = await runtime.listPodSandbox({});
  const { containers } = await runtime.listContainers({});
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .filter((line) => line.includes(word));
  const leases = join(instance.directory, 'leases');
  const networks = await readdir(leases).catch(() => []);
  const addresses = await Promise.all(networks.map((name) => readdir(join(leases, name))));
  return {
    pods: items.length,
    containers: containers.length,
    mounts: mounts.length,
    namespaces: (await readdir(join(instance.state, 'ns')).catch(() => [])).length,
    cgroups: await cgroupsBelow(word),
    // host-local keeps a lock and the last address beside them
    leases: addresses.flat().filter((name) => /^\d/u.test(name)).length,
    monitors: await monitorsOf(word),
  };
}

/** Directories in the first hierarchy that has the instance's: the pids controller's, or the unified one. */
async function cgroupsBelow(word: string): Promise<number> {
  for (const hierarchy of ['/sys/fs/cgroup/pids', '/sys/fs/cgroup/unified', '/sys/fs/cgroup']) {
    const root = join(hierarchy, word);
    const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => undefined);
    if (entries !== undefined) return entries.filter((entry) => entry.isDirectory()).length;
  }
  return 0;
}

async function monitorsOf(word: string): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/u.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')),
  );
  return lines.filter((line) => line.split('\0')[0]?.endsWith('conmon') === true && line.includes(word))
    .length;
}
