/** Reads the usage of views. A container or pod that ends meanwhile is left out; a reading never changes anything. */
import type { Call } from '../actors/ask.ts';
import type { Usage } from '../actors/ports/stats.ts';
import type { Troupe } from '../actors/troupe.ts';
import type { ContainerView, SandboxView } from '../actors/views.ts';
import type { ContainerReading, SandboxReading } from './present/metrics.ts';
import type { ContainerParts, SandboxParts } from './present/stats.ts';

/** Undefined for a container that does not run, or whose cgroup has just gone. */
export async function gatherContainer(troupe: Troupe, view: ContainerView, call: Call): Promise<ContainerParts | undefined> {
  const sandbox = troupe.directory.sandbox(view.spec.key.sandboxId);
  if (sandbox === undefined || view.criState === 'exited') return undefined;
  const usage = await troupe.stats.container({ id: view.id, sandbox: sandbox.spec });
  if (usage === undefined) return undefined;
  return { view, usage, written: await troupe.written(view.id, call) };
}

/** Those that run now, in order. */
export async function gatherContainers(troupe: Troupe, views: readonly ContainerView[], call: Call): Promise<readonly ContainerParts[]> {
  const running = views.filter((view) => view.criState === 'running');
  const parts = await eachThatAnswers(running.map((view) => gatherContainer(troupe, view, call)), call);
  return parts.filter((part) => part !== undefined);
}

/**
 * The readings that succeed, in order: one cgroup or guest that can't be read leaves the figures of all others, by which the
 * kubelet evicts. Rejects only when none succeeds, or the caller has gone.
 */
export async function eachThatAnswers<T>(readings: readonly Promise<T>[], { signal }: Pick<Call, 'signal'>): Promise<readonly T[]> {
  const settled = await Promise.allSettled(readings);
  signal.throwIfAborted();
  const failed = settled.find((one) => one.status === 'rejected');
  const answered = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  if (failed !== undefined && answered.length === 0) throw failed.reason;
  return answered;
}

/** As `eachThatAnswers`, of one: undefined where it can't be read. */
export async function ifItAnswers<T>(reading: Promise<T>, { signal }: Pick<Call, 'signal'>): Promise<T | undefined> {
  try {
    return await reading;
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

/** The pod's own figures where it has a cgroup of its own, else the sum of its containers'. */
export async function gatherSandbox(troupe: Troupe, view: SandboxView, call: Call): Promise<SandboxParts> {
  const views = troupe.directory.containersOf(view.id).filter((one) => one.listed);
  const containers = await gatherContainers(troupe, views, call);
  const usage = troupe.stats.sandbox({ id: view.id, sandbox: view.spec }) ?? sum(troupe.nowNs(), containers.map((part) => part.usage));
  return { view, usage, interfaces: await interfacesOf(troupe, view, containers), containers };
}

/** For the metrics: more of each container, nothing of the pod's cgroup as a whole. */
export async function gatherMetrics(troupe: Troupe, view: SandboxView, call: Call): Promise<SandboxReading> {
  const views = troupe.directory.containersOf(view.id).filter((one) => one.listed);
  const parts = await gatherContainers(troupe, views, call);
  const containers: ContainerReading[] = [];
  for (const part of parts) {
    const details = await troupe.stats.details({ id: part.view.id, sandbox: view.spec, pid: part.view.init?.pid });
    containers.push({ ...part, details });
  }
  const interfaces = await interfacesOf(troupe, view, parts);
  return { view, atNs: troupe.nowNs(), interfaces, containers };
}

async function interfacesOf(troupe: Troupe, view: SandboxView, containers: readonly ContainerParts[]): Promise<SandboxParts['interfaces']> {
  if (view.spec.namespaces.network !== 'pod') return [];
  return troupe.stats.interfaces({ id: view.id, pid: view.pause?.pid ?? containers[0]?.view.init?.pid });
}

const SUMMED = ['cpuNs', 'cpuNanoCores', 'memoryBytes', 'workingSetBytes', 'rssBytes', 'pageFaults', 'majorPageFaults', 'swapBytes'] as const;

function sum(atNs: bigint, parts: readonly Usage[]): Usage {
  const total = (name: (typeof SUMMED)[number]): bigint | undefined =>
    parts.some((part) => part[name] === undefined) ? undefined : parts.reduce((sofar, part) => sofar + (part[name] ?? 0n), 0n);
  return {
    atNs,
    cpuNs: total('cpuNs'),
    cpuNanoCores: total('cpuNanoCores'),
    memoryBytes: total('memoryBytes'),
    workingSetBytes: total('workingSetBytes'),
    rssBytes: total('rssBytes'),
    pageFaults: total('pageFaults'),
    majorPageFaults: total('majorPageFaults'),
    swapBytes: total('swapBytes'),
    availableBytes: undefined,
    swapAvailableBytes: undefined,
    processes: parts.reduce((sofar, part) => sofar + part.processes, 0n),
    cpuPressure: undefined,
    memoryPressure: undefined,
    ioPressure: undefined,
  };
}
