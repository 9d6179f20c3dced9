/** Reads the usage of pods and containers. One that ends meanwhile is left out. Reading changes nothing. */
import type { Call } from '../../actors/directory/ask.ts';
import type { Usage } from '../../ports/stats.ts';
import type { Troupe } from '../../actors/troupe.ts';
import type { ContainerView, SandboxView } from '../../actors/directory/views.ts';
import { toFault } from '../../base/fault.ts';
import { edgeLimits } from '../bounds.ts';
import type { ContainerReading, SandboxReading } from '../present/metrics.ts';
import type { ContainerParts, SandboxParts } from '../present/stats.ts';
import type { ServiceOptions } from '../call/service-options.ts';

/** What a reading needs: the actors, and the log of usage that can't be read. */
export type Gathering = Pick<ServiceOptions, 'troupe' | 'unread'>;

/** A reading under way. */
export interface Reading<T> {
  /** Id of the pod or container. */
  readonly subject: string;
  readonly answer: Promise<T>;
}

/** The usage of one container; undefined for one that does not run, or whose cgroup was just removed. */
export async function gatherContainer(
  { troupe }: Pick<Gathering, 'troupe'>,
  view: ContainerView,
  call: Call,
): Promise<ContainerParts | undefined> {
  const sandbox = troupe.directory.sandbox(view.spec.key.sandboxId);
  if (sandbox === undefined || view.criState === 'exited') return undefined;
  const usage = await troupe.stats.container({ id: view.id, sandbox: sandbox.spec });
  if (usage === undefined) return undefined;
  return { view, usage, written: await troupe.written(view.id, call) };
}

/** The usage of the containers that run now, in order. Rejects as `eachThatAnswers` does. */
async function gatherContainers(
  options: Gathering,
  views: readonly ContainerView[],
  call: Call,
): Promise<readonly ContainerParts[]> {
  return gatherEach(options, views, call, (parts) => parts);
}

/** As `gatherContainers`; `use` makes something of each container's usage as soon as it is read. */
export async function gatherEach<T>(
  options: Gathering,
  views: readonly ContainerView[],
  call: Call,
  use: (parts: ContainerParts) => T,
): Promise<readonly T[]> {
  const readings = readingsOf(options, views, call).map(({ subject, answer }) => ({
    subject,
    answer: answer.then((parts) => (parts === undefined ? undefined : use(parts))),
  }));
  const used = await eachThatAnswers(readings, call, options);
  return used.filter((one) => one !== undefined);
}

/**
 * As `gatherContainers`, in batches of `statsBatchItems`; each batch is read when `write` has sent the one before. A
 * batch of which nothing can be read is skipped. Rejects at the end when nothing could be read of any batch.
 */
export async function gatherInBatches(
  options: Gathering,
  views: readonly ContainerView[],
  call: Call,
  write: (parts: readonly ContainerParts[]) => Promise<void>,
): Promise<void> {
  let firstFailed: PromiseRejectedResult | undefined;
  let hasAnswered = false;
  for (let from = 0; from < views.length; from += edgeLimits.statsBatchItems) {
    const batch = readingsOf(options, views.slice(from, from + edgeLimits.statsBatchItems), call);
    const { answered, failed } = await settle(batch, call, options);
    firstFailed ??= failed;
    hasAnswered ||= answered.length > 0;
    const parts = answered.filter((part) => part !== undefined);
    if (parts.length > 0) await write(parts);
  }
  if (firstFailed !== undefined && !hasAnswered) throw firstFailed.reason;
}

function readingsOf(
  options: Gathering,
  views: readonly ContainerView[],
  call: Call,
): readonly Reading<ContainerParts | undefined>[] {
  const running = views.filter((view) => view.criState === 'running');
  return running.map((view) => ({ subject: view.id, answer: gatherContainer(options, view, call) }));
}

/**
 * The readings that succeed, in order. One cgroup or guest that can't be read must not cost the figures of all others,
 * by which the kubelet evicts pods; the log names those that are left out. Rejects when no reading succeeds, on a bug,
 * and when the caller has gone.
 */
export async function eachThatAnswers<T>(
  readings: readonly Reading<T>[],
  call: Pick<Call, 'signal'>,
  options: Pick<Gathering, 'unread'>,
): Promise<readonly T[]> {
  const { answered, failed } = await settle(readings, call, options);
  if (failed !== undefined && answered.length === 0) throw failed.reason;
  return answered;
}

/** As `eachThatAnswers`, for one reading: undefined where it fails. */
export async function ifItAnswers<T>(
  reading: Reading<T>,
  call: Pick<Call, 'signal'>,
  options: Pick<Gathering, 'unread'>,
): Promise<T | undefined> {
  return (await settle([reading], call, options)).answered[0];
}

/** Waits for all readings. `failed` is the first one that failed. */
async function settle<T>(
  readings: readonly Reading<T>[],
  { signal }: Pick<Call, 'signal'>,
  { unread }: Pick<Gathering, 'unread'>,
): Promise<{ readonly answered: readonly T[]; readonly failed: PromiseRejectedResult | undefined }> {
  const settled = await Promise.allSettled(readings.map(({ answer }) => answer));
  signal.throwIfAborted();
  const answered: T[] = [];
  let failed: PromiseRejectedResult | undefined;
  for (const [at, one] of settled.entries()) {
    if (one.status === 'fulfilled') {
      answered.push(one.value);
      continue;
    }
    if (isBug(one.reason)) throw one.reason;
    unread.note(readings[at]?.subject ?? '', one.reason);
    failed ??= one;
  }
  return { answered, failed };
}

/** An error of our own code: it would occur for each container, and must not be hidden. */
function isBug(thrown: unknown): boolean {
  return toFault(thrown).kind === 'bug' || thrown instanceof TypeError || thrown instanceof RangeError;
}

/**
 * The usage of a pod: that of its own cgroup where it has one, even while no container can be read; otherwise the sum
 * of its containers.
 */
export async function gatherSandbox(
  options: Gathering,
  view: SandboxView,
  call: Call,
): Promise<SandboxParts> {
  const { troupe } = options;
  const views = troupe.directory.containersOf(view.id).filter((one) => one.listed);
  const { answered, failed } = await settle(readingsOf(options, views, call), call, options);
  const containers = answered.filter((part) => part !== undefined);
  const own = troupe.stats.sandbox({ id: view.id, sandbox: view.spec });
  if (own === undefined && failed !== undefined && answered.length === 0) throw failed.reason;
  const usage =
    own ??
    sum(
      troupe.nowNs(),
      containers.map((part) => part.usage),
    );
  return { view, usage, interfaces: await interfacesOf(troupe, view, containers), containers };
}

/** The usage for metrics: with details of each container, without the pod's cgroup as a whole. */
export async function gatherMetrics(
  options: Gathering,
  view: SandboxView,
  call: Call,
): Promise<SandboxReading> {
  const { troupe } = options;
  const views = troupe.directory.containersOf(view.id).filter((one) => one.listed);
  const parts = await gatherContainers(options, views, call);
  const containers: ContainerReading[] = [];
  for (const part of parts) {
    const details = await troupe.stats.details({
      id: part.view.id,
      sandbox: view.spec,
      pid: part.view.init?.pid,
    });
    containers.push({ ...part, details });
  }
  const interfaces = await interfacesOf(troupe, view, parts);
  return { view, atNs: troupe.nowNs(), interfaces, containers };
}

async function interfacesOf(
  troupe: Troupe,
  view: SandboxView,
  containers: readonly ContainerParts[],
): Promise<SandboxParts['interfaces']> {
  if (view.spec.namespaces.network !== 'pod') return [];
  return troupe.stats.interfaces({ id: view.id, pid: view.pause?.pid ?? containers[0]?.view.init?.pid });
}

const SUMMED = [
  'cpuNs',
  'cpuNanoCores',
  'memoryBytes',
  'workingSetBytes',
  'rssBytes',
  'pageFaults',
  'majorPageFaults',
  'swapBytes',
] as const;

function sum(atNs: bigint, parts: readonly Usage[]): Usage {
  const total = (name: (typeof SUMMED)[number]): bigint | undefined =>
    parts.some((part) => part[name] === undefined)
      ? undefined
      : parts.reduce((sofar, part) => sofar + (part[name] ?? 0n), 0n);
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
