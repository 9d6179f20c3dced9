// What a scenario works with: the kubelet's view of its pod and the runtime's, and waiting for either.
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type {
  Container,
  ContainerStatus as CriStatus,
  PodSandbox,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { patient } from '../../support/patience.ts';
import { same, untilFound } from '../support/parts.ts';
import type { World } from '../support/world.ts';
import { hierarchies, type Kubelet, staticName } from './kubelet.ts';
import { livesFile } from './manifests.ts';
import type { ContainerStatus, Pod, PodManifest } from './shapes.ts';

/** Bound of each wait, ms: probes and back-offs are seconds, the rest is what a machine shared with others may need. */
const WAIT_MS = patient(120_000);
/** While the daemon is killed: the kubelet tries again after 10 s and more, and a kill can meet each try. */
const WAIT_UNDER_KILLS_MS = patient(300_000);

export class Stage {
  readonly kubelet: Kubelet;
  readonly world: World;
  /** The daemon is killed meanwhile: a call through it may fail and is made again. */
  readonly isUnderKills: boolean;
  readonly #suffix: string;

  /** @param round of the kills; none while the daemon is left in peace */
  constructor(kubelet: Kubelet, world: World, round?: number) {
    this.kubelet = kubelet;
    this.world = world;
    this.isUnderKills = round !== undefined;
    this.#suffix = round === undefined ? '' : `-${round}`;
  }

  /** The pod's name of a scenario, which is played many times. */
  name(scenario: string): string {
    return scenario + this.#suffix;
  }

  /** Waits until `poll` answers something; what it throws counts as nothing. */
  async until<T>(what: string, poll: () => Promise<T | undefined | false | 0>, about?: string): Promise<T> {
    const withinMs = this.isUnderKills ? WAIT_UNDER_KILLS_MS : WAIT_MS;
    return await untilFound(
      { what, withinMs, ...(about === undefined ? {} : { about: async () => await this.describe(about) }) },
      poll,
    );
  }

  /** A pod of one scenario, put into the kubelet's directory. */
  async apply(manifest: PodManifest): Promise<string> {
    await this.kubelet.apply(manifest);
    return manifest.metadata.name;
  }

  async pod(name: string): Promise<Pod | undefined> {
    return (await this.kubelet.pods()).find((pod) => pod.metadata.name === staticName(name));
  }

  async untilPod(name: string, what: string, holds: (pod: Pod) => boolean): Promise<Pod> {
    return await this.until(
      `pod ${name} ${what}`,
      async () => {
        const pod = await this.pod(name);
        return pod !== undefined && holds(pod) ? pod : undefined;
      },
      name,
    );
  }

  async untilReady(name: string): Promise<Pod> {
    return await this.untilPod(name, 'Ready', (pod) => isReady(pod));
  }

  /** How often a container of the pod has been started, by its own count. */
  async lives(pod: Pod, container = 'main'): Promise<number> {
    const file = join(
      this.kubelet.root,
      'pods',
      pod.metadata.uid,
      'volumes/kubernetes.io~empty-dir/data',
      livesFile(container),
    );
    return (await readFile(file, 'utf8')).length;
  }

  /** Fails when a container has lived more than once. A kill during its creation costs an attempt, but no life. */
  async neverRestarted(pod: Pod, container = 'main'): Promise<void> {
    // The container is reported as running before its shell has reached its first line.
    const lives = await this.until(
      `the first line of ${container}`,
      async () => await this.lives(pod, container),
    );
    same(`lives of ${container}`, lives, 1);
    if (!this.isUnderKills) same(`restarts of ${container}`, containerOf(pod, container)?.restartCount, 0);
  }

  async warnings(name: string): Promise<string[]> {
    return (await this.kubelet.events())
      .filter((event) => event.pod === name && event.type === 'Warning')
      .map((event) => `${event.reason}: ${event.message}`);
  }

  /** What is to be seen of a pod, for a message. */
  async describe(name: string): Promise<string> {
    const status = await this.pod(name)
      .then((pod) => pod?.status)
      .catch((error: unknown) => String(error));
    return `its status is ${JSON.stringify(status)}; its last warnings are ${JSON.stringify((await this.warnings(name)).slice(-3))}`;
  }

  /** stdout and stderr as `kubectl logs` shows them. */
  async log(name: string, container = 'main', query = ''): Promise<string> {
    return await this.kubelet.get(`/containerLogs/default/${staticName(name)}/${container}${query}`);
  }

  /**
   * Runs a command through the kubelet (ExecSync); words can't hold spaces. Under kills again until it has an answer.
   */
  async exec(name: string, command: readonly string[], container = 'main'): Promise<string> {
    const path = `/run/default/${staticName(name)}/${container}?cmd=${command.map(encodeURIComponent).join('%20')}`;
    if (!this.isUnderKills) return await this.kubelet.post(path);
    return await this.until(
      `${command.join(' ')} in ${name}`,
      async () => await this.kubelet.post(path),
      name,
    );
  }

  /** A call that reads; under kills again until it has an answer. */
  async asked<T>(what: string, call: () => Promise<T>): Promise<T> {
    if (!this.isUnderKills) return await call();
    const { answer } = await this.until(what, async () => ({ answer: await call() }));
    return answer;
  }

  /** The runtime's containers of a pod, latest attempt first. */
  async criContainers(name: string, container = 'main'): Promise<Container[]> {
    const labelSelector = {
      'io.kubernetes.pod.name': staticName(name),
      'io.kubernetes.container.name': container,
    };
    const { containers } = await this.asked(`containers of ${name}`, () =>
      this.world.client.runtime.listContainers({ filter: { labelSelector } }),
    );
    return containers.toSorted((a, b) => (b.metadata?.attempt ?? 0) - (a.metadata?.attempt ?? 0));
  }

  async criSandboxes(name: string): Promise<PodSandbox[]> {
    const labelSelector = { 'io.kubernetes.pod.name': staticName(name) };
    const { items } = await this.asked(`sandboxes of ${name}`, () =>
      this.world.client.runtime.listPodSandbox({ filter: { labelSelector } }),
    );
    return items;
  }

  async criStatus(id: string): Promise<CriStatus> {
    const { status } = await this.asked(`status of ${id}`, () =>
      this.world.client.runtime.containerStatus({ containerId: id }),
    );
    if (status === undefined) throw new Error(`ContainerStatus of ${id} has no status`);
    return status;
  }

  /**
   * Takes the pod out of the directory and waits until neither the kubelet nor the kernel has anything of it that runs.
   */
  async withdraw(name: string): Promise<Remains> {
    const pod = await this.pod(name);
    const remains = await remainsOf(pod?.metadata.uid ?? name);
    await this.kubelet.withdraw(name);
    await this.until(
      `pod ${name} gone from the kubelet`,
      async () => (await this.pod(name)) === undefined,
      name,
    );
    await this.until(
      `the processes of pod ${name} gone`,
      async () => (await processesIn(remains.uid)).length === 0,
      name,
    );
    return remains;
  }
}

export const isReady = (pod: Pod): boolean =>
  pod.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;

export function containerOf(pod: Pod, name = 'main'): ContainerStatus | undefined {
  return [...(pod.status.containerStatuses ?? []), ...(pod.status.initContainerStatuses ?? [])].find(
    (status) => status.name === name,
  );
}

export function holds(what: string, text: string, part: string): void {
  if (!text.includes(part)) throw new Error(`${what} lacks "${part}": ${JSON.stringify(text.slice(0, 500))}`);
}

/** By what a pod's last traces are known. */
export interface Remains {
  readonly uid: string;
  /** `net:[inode]` of its processes, none for the host's. */
  readonly netns: readonly string[];
}

/** The name of a pod's cgroup holds its uid; that of a slice with underscores. */
const isOfPod = (path: string, uid: string): boolean =>
  path.includes(uid) || path.includes(uid.replaceAll('-', '_'));

/** Processes in a cgroup of the pod. */
async function processesIn(uid: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    if (isOfPod(await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => ''), uid)) found.push(pid);
  }
  return found;
}

async function remainsOf(uid: string): Promise<Remains> {
  const host = await readlink('/proc/self/ns/net');
  const netns = new Set<string>();
  for (const pid of await processesIn(uid))
    netns.add(await readlink(`/proc/${pid}/ns/net`).catch(() => host));
  return { uid, netns: [...netns].filter((link) => link !== host) };
}

/**
 * What is still there of a pod that was removed: processes, mounts, network namespaces, cgroups; one line each.
 * @param tag in every path of the instance: the kernel gives the number of a network namespace that is gone to another
 * one
 */
export async function tracesOf({ uid, netns }: Remains, cgroupRoot: string, tag: string): Promise<string[]> {
  const mounted = (await readFile('/proc/self/mountinfo', 'utf8'))
    .split('\n')
    .filter((line) => line.includes(tag));
  const mounts = mounted.filter((line) => line.includes(uid) || netns.some((link) => line.includes(link)));
  const cgroups: string[] = [];
  for (const hierarchy of await hierarchies()) {
    const root = join(hierarchy, cgroupRoot);
    const below = await readdir(root, { recursive: true }).catch(() => []);
    cgroups.push(...below.filter((path) => isOfPod(path, uid)).map((path) => join(root, path)));
  }
  return [
    ...(await processesIn(uid)).map((pid) => `process ${pid}`),
    ...mounts.map((line) => `mount ${line}`),
    ...cgroups.map((path) => `cgroup ${path}`),
  ];
}
