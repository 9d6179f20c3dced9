/** The stats port: reads the accounting files of cgroups v1 and v2. */
import { basename } from 'node:path';
import type { ClockPort } from '../../ports/clock.ts';
import type { GuestUsage, InterfaceUsage, StatsPort, Usage } from '../../ports/stats.ts';
import type { SandboxSpec } from '../../ports/specs.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import { hostLimits } from '../bounds.ts';
import { cgroupDirectory } from '../cgroups/cgroup-layout.ts';
import type { CgroupLayout } from '../kernel-thread/thread-protocol.ts';
import { cgroupParentOf, containerCgroup } from '../sandbox/layout.ts';
import { netDevOf } from '../namespaces/namespaces.ts';
import type { ReadControl } from './usage-details.ts';
import { KernelFiles, readKernelFile, readNetDev } from './kernel-files.ts';
import { hugepageSizes, readDetails } from './usage-details.ts';
import { isSlice } from '../cgroups/slices.ts';
import { SlicesOfTime } from './slices-of-time.ts';
import { parseChosen, parseNetDev, parseNumber, parsePressure } from './usage-files.ts';
import { pause } from '../clock/wait.ts';

export interface StatsDriverOptions {
  readonly cgroups: CgroupLayout;
  readonly clock: ClockPort;
  /** The path where a pod's network namespace is pinned. */
  readonly netns: (id: SandboxId) => string;
  /** Usage of a container in a virtual machine, from its shim; undefined when it has ended. */
  readonly guest?: (id: ContainerId) => Promise<GuestUsage | undefined>;
  /** What a container wrote; provided by the storage driver. */
  readonly written: Pick<StatsPort, 'written' | 'writtenLately'>;
}

export interface StatsDriver extends StatsPort {
  /** Closes the kernel files. */
  close(): void;
}

interface Kept {
  readonly usage: Usage;
  readonly atMonoMs: number;
}

/**
 * Creates the driver. It keeps the last reading of each cgroup, to compute rates and to answer callers that
 * ask too often.
 */
export function createStatsDriver(options: StatsDriverOptions): StatsDriver {
  const last = new Map<string, Kept>();
  const pageSizes = hugepageSizes();
  // a hundred containers read at once would delay every other call, so each gets its own turn of the event
  // loop
  let before: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(read: () => T | Promise<T>): Promise<T> => {
    const turn = before.then(() => pause(options.clock, 0)).then(read);
    before = turn.catch(() => undefined);
    return turn;
  };
  const files = new KernelFiles(options.clock);
  const slices = new SlicesOfTime(options.clock, hostLimits.usageSliceMs);
  const usageOf = (path: string): Usage | undefined => readKept(options, files, last, path);
  // one for each cgroup, however many callers ask again: the queue is as long as the list of containers
  const readings = new Map<string, Promise<Usage | undefined>>();
  const startReading = (path: string): Promise<Usage | undefined> => {
    const reading = slices.run(() => usageOf(path)).finally(() => readings.delete(path));
    readings.set(path, reading);
    return reading;
  };
  const usageInSlice = (path: string): Usage | Promise<Usage | undefined> =>
    freshOf(options.clock, last, path) ?? readings.get(path) ?? startReading(path);
  return {
    container: ({ id, sandbox }) =>
      sandbox.runtime?.needsPause === true && options.guest !== undefined
        ? askGuest(options, last, id)
        : usageInSlice(containerCgroup(sandbox.cgroupParent, id)),
    details: ({ id, sandbox, pid }) =>
      inTurn(() =>
        readDetails(
          options.cgroups.version,
          controlsOf(files, options.cgroups, containerCgroup(sandbox.cgroupParent, id)),
          pageSizes,
          pid,
        ),
      ),
    sandbox: ({ sandbox }) =>
      isPodCgroup(sandbox) ? usageOf(cgroupParentOf(sandbox.cgroupParent)) : undefined,
    interfaces: ({ id, pid }) =>
      pid === undefined
        ? inTurn(() => readPinned(options, id))
        : interfacesIn(readNetDev(`/proc/${pid}/net/dev`) ?? ''),
    written: (id, fx) => options.written.written(id, fx),
    writtenLately: (id) => options.written.writtenLately(id),
    close: () => files.close(),
  };
}

/**
 * The kubelet names a pod's cgroup after its uid: `…/pod<uid>`, or the slice `…-pod<uid>.slice` with `_` for
 * `-` (its package cm/cgroup_manager_linux.go). Any other parent may be shared by several pods, so the whole
 * name must match.
 */
function isPodCgroup({ cgroupParent, key }: SandboxSpec): boolean {
  if (key.uid === '') return false;
  const name = basename(cgroupParent);
  return (
    name === `pod${key.uid}` ||
    (isSlice(name) && `-${name}`.endsWith(`-pod${key.uid.replaceAll('-', '_')}.slice`))
  );
}

function readKept(
  { cgroups, clock }: StatsDriverOptions,
  files: KernelFiles,
  last: Map<string, Kept>,
  path: string,
): Usage | undefined {
  const now = clock.monoMs();
  const before = last.get(path);
  const fresh = freshOf(clock, last, path);
  if (fresh !== undefined) return fresh;
  const usage = readUsage(controlsOf(files, cgroups, path), cgroups.version, {
    atNs: clock.nowNs(),
    atMonoMs: now,
    before,
  });
  last.delete(path);
  if (usage !== undefined) keep(last, path, { usage, atMonoMs: now });
  return usage;
}

/** A reading that is young enough to be given again. */
function freshOf(
  clock: Pick<ClockPort, 'monoMs'>,
  last: ReadonlyMap<string, Kept>,
  key: string,
): Usage | undefined {
  const kept = last.get(key);
  return kept !== undefined && clock.monoMs() - kept.atMonoMs < hostLimits.usageAgeMs
    ? kept.usage
    : undefined;
}

function keep(last: Map<string, Kept>, key: string, reading: Kept): void {
  last.delete(key);
  last.set(key, reading);
  // the oldest reading belongs to a cgroup that was not read since, most likely a removed one
  if (last.size > hostLimits.usageKept) last.delete(last.keys().next().value ?? '');
}

/** A guest that does not answer has no figures for now; the others are still read. */
async function askGuest(
  { clock, guest }: StatsDriverOptions,
  last: Map<string, Kept>,
  id: ContainerId,
): Promise<Usage | undefined> {
  const before = last.get(id);
  const fresh = freshOf(clock, last, id);
  if (fresh !== undefined) return fresh;
  const answer = await guest?.(id).catch(() => undefined);
  if (answer === undefined) return undefined;
  const atMonoMs = clock.monoMs();
  const usage = { ...answer, atNs: clock.nowNs(), cpuNanoCores: rate(answer.cpuNs, atMonoMs, before) };
  keep(last, id, { usage, atMonoMs });
  return usage;
}

/** The time of a reading: by the wall clock for reports, by the monotonic clock for rates (F78). */
interface Moment {
  readonly atNs: bigint;
  readonly atMonoMs: number;
  readonly before: Kept | undefined;
}

function readUsage(read: ReadControl, version: 1 | 2, { atNs, atMonoMs, before }: Moment): Usage | undefined {
  const isV2 = version === 2;
  const cpuNs = isV2 ? microseconds(read('cpu', 'cpu.stat')) : parseNumber(read('cpuacct', 'cpuacct.usage'));
  const memory = isV2 ? memoryV2(read) : memoryV1(read);
  if (cpuNs === undefined && memory.memoryBytes === undefined) return undefined;
  return {
    atNs,
    cpuNs,
    cpuNanoCores: rate(cpuNs, atMonoMs, before),
    ...memory,
    processes: parseNumber(read('pids', 'pids.current')) ?? 0n,
    cpuPressure: isV2 ? parsePressure(read('cpu', 'cpu.pressure')) : undefined,
    memoryPressure: isV2 ? parsePressure(read('memory', 'memory.pressure')) : undefined,
    ioPressure: isV2 ? parsePressure(read('io', 'io.pressure')) : undefined,
  };
}

function controlsOf(files: KernelFiles, cgroups: CgroupLayout, path: string): ReadControl {
  return (controller, file) => {
    const directory = cgroupDirectory(cgroups, path, controller);
    if (directory === undefined) return undefined;
    // a file of records returns one page per read (fs/seq_file.c), some six hundred processes, so this one is
    // read whole
    return file === 'cgroup.procs'
      ? readKernelFile(`${directory}/${file}`)
      : files.read(`${directory}/${file}`);
  };
}

type MemoryUsage = Pick<
  Usage,
  | 'memoryBytes'
  | 'workingSetBytes'
  | 'rssBytes'
  | 'availableBytes'
  | 'pageFaults'
  | 'majorPageFaults'
  | 'swapBytes'
  | 'swapAvailableBytes'
>;

/** v1 reports "no limit" as the largest number of pages; no real limit is above this. */
const NO_LIMIT = 1n << 60n;

/** The names used of memory.stat, which has some forty lines. */
const V1_MEMORY = [
  'total_inactive_file',
  'total_rss',
  'total_pgfault',
  'total_pgmajfault',
  'total_swap',
] as const;
const V2_MEMORY = ['inactive_file', 'anon', 'pgfault', 'pgmajfault'] as const;

function memoryV1(read: ReadControl): MemoryUsage {
  const stat = parseChosen(read('memory', 'memory.stat') ?? '', V1_MEMORY);
  const usage = parseNumber(read('memory', 'memory.usage_in_bytes'));
  const withSwap = parseNumber(read('memory', 'memory.memsw.usage_in_bytes'));
  const swapBytes =
    withSwap === undefined || usage === undefined ? stat.get('total_swap') : positive(withSwap - usage);
  const limit = parseNumber(read('memory', 'memory.limit_in_bytes'));
  const limitWithSwap = parseNumber(read('memory', 'memory.memsw.limit_in_bytes'));
  return {
    ...working(usage, stat.get('total_inactive_file'), limit),
    rssBytes: stat.get('total_rss'),
    pageFaults: stat.get('total_pgfault'),
    majorPageFaults: stat.get('total_pgmajfault'),
    swapBytes,
    swapAvailableBytes:
      isLimit(limit) && isLimit(limitWithSwap) && swapBytes !== undefined
        ? positive(limitWithSwap - limit - swapBytes)
        : undefined,
  };
}

function memoryV2(read: ReadControl): MemoryUsage {
  const stat = parseChosen(read('memory', 'memory.stat') ?? '', V2_MEMORY);
  const usage = parseNumber(read('memory', 'memory.current'));
  const swapBytes = parseNumber(read('memory', 'memory.swap.current'));
  const swapMax = parseNumber(read('memory', 'memory.swap.max'));
  return {
    ...working(usage, stat.get('inactive_file'), parseNumber(read('memory', 'memory.max'))),
    rssBytes: stat.get('anon'),
    pageFaults: stat.get('pgfault'),
    majorPageFaults: stat.get('pgmajfault'),
    swapBytes,
    swapAvailableBytes:
      swapMax === undefined || swapBytes === undefined ? undefined : positive(swapMax - swapBytes),
  };
}

/** cAdvisor's working set, by which the kubelet evicts. */
function working(usage: bigint | undefined, inactive: bigint | undefined, limit: bigint | undefined) {
  const workingSetBytes = usage === undefined ? undefined : positive(usage - (inactive ?? 0n));
  return {
    memoryBytes: usage,
    workingSetBytes,
    availableBytes:
      isLimit(limit) && workingSetBytes !== undefined ? positive(limit - workingSetBytes) : undefined,
  };
}

function isLimit(limit: bigint | undefined): limit is bigint {
  return limit !== undefined && limit < NO_LIMIT;
}

function positive(value: bigint): bigint {
  return value > 0n ? value : 0n;
}

function microseconds(cpuStat: string | undefined): bigint | undefined {
  const usec = parseChosen(cpuStat ?? '', ['usage_usec']).get('usage_usec');
  return usec === undefined ? undefined : usec * 1000n;
}

function rate(cpuNs: bigint | undefined, atMonoMs: number, before: Kept | undefined): bigint | undefined {
  const beforeNs = before?.usage.cpuNs;
  if (cpuNs === undefined || before === undefined || beforeNs === undefined || cpuNs < beforeNs)
    return undefined;
  const passedNs = BigInt(Math.round((atMonoMs - before.atMonoMs) * 1e6));
  return passedNs <= 0n ? undefined : ((cpuNs - beforeNs) * 1_000_000_000n) / passedNs;
}

/** A namespace that is being removed has no figures for now; the others are still read. */
async function readPinned(
  { netns, clock }: StatsDriverOptions,
  id: SandboxId,
): Promise<readonly InterfaceUsage[]> {
  return interfacesIn(await netDevOf(netns(id), clock).catch(() => ''));
}

/** The pod's own interface, created by CNI. */
const OWN_INTERFACE = 'eth0';

/**
 * The interfaces of net/dev. Where there are too many to list, the pod's own comes first: a pod with
 * CAP_NET_ADMIN can create a hundred thousand, and the statistics of all pods go into one answer (S78). Pure.
 */
export function interfacesIn(netDev: string): readonly InterfaceUsage[] {
  const all = parseNetDev(netDev);
  if (all.length <= hostLimits.interfaces) return all;
  const [own, others] = [
    all.filter(({ name }) => name === OWN_INTERFACE),
    all.filter(({ name }) => name !== OWN_INTERFACE),
  ];
  return [...own, ...others].slice(0, hostLimits.interfaces);
}
