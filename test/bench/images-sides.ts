// The two who pull, and what one pull costs them: time with the last byte on the disk, and processor time of their own.
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type CriClient, criClient } from '../../scripts/support/cri-client.ts';
import { type Instance, makeInstance } from '../support/instance.ts';
import { run, runOrThrow } from '../support/run.ts';
import { type Cpu, cpuOf, childrenCpu } from './cpu.ts';

export interface Cost {
  /** Seconds until the image was there and the file system synced. */
  readonly seconds: number;
  readonly cpu: Cpu;
}

const DEADLINE_MS = 600_000;
/** ms after which the daemon's idle worker threads have ended, so that each pull starts them anew. */
const REST_MS = 6000;
const LOOK_AGAIN_MS = 50;
const MIB = 1024 * 1024;

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
async function syncOf(directory: string): Promise<void> {
  await runOrThrow(['sync', '--file-system', directory], { timeoutMs: DEADLINE_MS });
}

/** The daemon, with an empty store before each pull. */
export class DaemonSide {
  readonly #instance: Instance;
  readonly #client: CriClient;

  static async start(registries: readonly string[]): Promise<DaemonSide> {
    const registriesConf = registries.map((address) => `[[registry]]\nlocation = "${address}"\ninsecure = true\n`).join('\n');
    const instance = await makeInstance({ name: 'imgb', registriesConf, network: 'host-only', logLevel: 'info' });
    try {
      await instance.start();
    } catch (error) {
      await instance.remove();
      throw error;
    }
    return new DaemonSide(instance);
  }

  private constructor(instance: Instance) {
    this.#instance = instance;
    this.#client = criClient(instance.socket);
  }

  /** `count` calls at once for one image that is not there. */
  async pull(name: string, count = 1): Promise<Cost & { readonly rssMiB: number }> {
    const pid = this.#instance.pid();
    const idle = rssMiB(pid, 'VmRSS');
    // proc(5): the peak starts anew
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
    const before = cpuOf(pid);
    const startedAt = performance.now();
    const calls = Array.from({ length: count }, async () => this.#client.image.pullImage({ image: { image: name } }, { deadlineMs: DEADLINE_MS }));
    const [answer] = await Promise.all(calls);
    await syncOf(this.#instance.root);
    const seconds = (performance.now() - startedAt) / 1000;
    const after = cpuOf(pid);
    const rss = rssMiB(pid, 'VmHWM') - idle;
    await this.#client.image.removeImage({ image: { image: answer?.imageRef ?? name } }, { deadlineMs: DEADLINE_MS });
    return { seconds, cpu: { user: after.user - before.user, system: after.system - before.system }, rssMiB: rss };
  }

  /** Settles when nothing of earlier images is being deleted, and the daemon is idle. */
  async rest(): Promise<void> {
    for (const name of ['layers', 'trash', 'partial']) {
      while ((await readdir(join(this.#instance.root, name)).catch(() => [])).length > 0) await delay(LOOK_AGAIN_MS);
    }
    await delay(REST_MS);
  }

  async close(): Promise<void> {
    this.#client.close();
    await this.#instance.remove();
  }
}

/** `skopeo copy` into a containers/storage of its own, with the overlay driver. */
export async function skopeoPull(name: string): Promise<Cost> {
  const directory = await mkdtemp(join(tmpdir(), 'troupe-bench-skopeo-'));
  const target = `containers-storage:[overlay@${join(directory, 'graph')}+${join(directory, 'run')}]${name}`;
  const argv = ['skopeo', 'copy', '--quiet', '--insecure-policy', '--src-tls-verify=false', `docker://${name}`, target];
  try {
    const before = childrenCpu();
    const startedAt = performance.now();
    await runOrThrow(argv, { timeoutMs: DEADLINE_MS });
    const after = childrenCpu();
    await syncOf(directory);
    return { seconds: (performance.now() - startedAt) / 1000, cpu: { user: after.user - before.user, system: after.system - before.system } };
  } finally {
    // containers/storage keeps its overlay directory bound to itself
    await run(['umount', join(directory, 'graph/overlay')]);
    await rm(directory, { recursive: true, force: true });
  }
}

function rssMiB(pid: number, name: 'VmRSS' | 'VmHWM'): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) * 1024) / MIB;
}
