/** A container's usage as its shim reports it: in a virtual machine the guest's kernel counts, not the host's. */
import type { GuestUsage } from '../../../ports/stats.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { shimLimits } from '../bounds.ts';
import { MetricsSchema as MetricsV1 } from '../../../gen/shim/metrics_pb.ts';
import { MetricsSchema as MetricsV2 } from '../../../gen/shim/metrics2_pb.ts';
import { Task } from '../../../gen/shim/task_pb.ts';
import { decodeMessage } from '../../../ttrpc/protocol.ts';
import { readNote } from '../container/record.ts';
import type { ShimParts } from './containers.ts';

/** Undefined if the container has exited, or for metrics of an unknown type. */
export async function taskUsage(
  { parts, shims }: ShimParts,
  id: ContainerId,
): Promise<GuestUsage | undefined> {
  const note = await readNote(parts.layout, id);
  const shim = note === undefined ? undefined : await shims.find(note.sandboxId);
  const answer = await shim?.callUnlessGone(Task.method.stats, { id }, { timeoutMs: shimLimits.callMs });
  return answer?.stats === undefined ? undefined : usageIn(answer.stats);
}

/** The figures in a Stats answer, by the name of its type, without impossible ones. */
export function usageIn({
  typeUrl,
  value,
}: {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}): GuestUsage | undefined {
  const isV1 = typeUrl.endsWith(MetricsV1.typeName);
  if (!isV1 && !typeUrl.endsWith(MetricsV2.typeName)) return undefined;
  const { processes, ...figures } = isV1 ? usageV1(value) : usageV2(value);
  // A guest can send any number: one beyond 64 bits, or a sum of such numbers, would fail the answer about all
  // containers.
  const believed = Object.entries(figures).filter(
    ([, figure]) => typeof figure !== 'bigint' || figure < MOST,
  );
  return {
    ...none,
    ...nothing,
    ...Object.fromEntries(believed),
    processes: processes < MOST ? processes : 0n,
  };
}

/** Bytes, faults or nanoseconds: 2⁶⁰ ns are 36 years of CPU time. */
const MOST = 1n << 60n;

/** The kernel's "no limit" is a number near 2^63 or 2^64 (in pages or bytes). */
const NO_LIMIT = 1n << 60n;

function usageV1(value: Uint8Array): GuestUsage {
  const { cpu, memory, pids } = decodeMessage(MetricsV1, value);
  const used = memory?.usage?.usage;
  return {
    ...nothing,
    cpuNs: cpu?.usage?.total,
    ...working(used, memory?.totalInactiveFile, memory?.usage?.limit),
    rssBytes: memory?.totalRss || memory?.rss,
    pageFaults: memory?.totalPgFault,
    majorPageFaults: memory?.totalPgMajFault,
    swapBytes: swapOf(memory?.swap?.usage, used),
    processes: pids?.current ?? 0n,
  };
}

function usageV2(value: Uint8Array): GuestUsage {
  const { cpu, memory, pids } = decodeMessage(MetricsV2, value);
  return {
    ...nothing,
    cpuNs: cpu === undefined ? undefined : cpu.usageUsec * 1000n,
    ...working(memory?.usage, memory?.inactiveFile, memory?.usageLimit),
    rssBytes: memory?.anon,
    pageFaults: memory?.pgfault,
    majorPageFaults: memory?.pgmajfault,
    swapBytes: memory?.swapUsage,
    processes: pids?.current ?? 0n,
  };
}

const none = {
  cpuNs: undefined,
  memoryBytes: undefined,
  workingSetBytes: undefined,
  availableBytes: undefined,
  rssBytes: undefined,
  pageFaults: undefined,
  majorPageFaults: undefined,
  swapBytes: undefined,
};
const nothing = {
  swapAvailableBytes: undefined,
  cpuPressure: undefined,
  memoryPressure: undefined,
  ioPressure: undefined,
};

/** The working set as the kubelet computes it: the usage without the inactive page cache. */
function working(used: bigint | undefined, inactive: bigint | undefined, limit: bigint | undefined) {
  const set = used === undefined ? undefined : positive(used - (inactive ?? 0n));
  const isLimited = limit !== undefined && limit > 0n && limit < NO_LIMIT;
  return {
    memoryBytes: used,
    workingSetBytes: set,
    availableBytes: isLimited && set !== undefined ? positive(limit - set) : undefined,
  };
}

/** cgroup v1 counts memory and swap together. */
function swapOf(both: bigint | undefined, memory: bigint | undefined): bigint | undefined {
  return both === undefined || memory === undefined ? undefined : positive(both - memory);
}

function positive(value: bigint): bigint {
  return value > 0n ? value : 0n;
}
