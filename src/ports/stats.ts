/** What pods and containers use. Numbers come from kernel memory (cgroupfs, /proc), so reading them waits for nothing. */
import type { ContainerId, SandboxId } from '../base/ids.ts';
import type { EffectContext } from './effect.ts';
import type { SandboxSpec } from './specs.ts';

/** Pressure stall figures (Documentation/accounting/psi.rst); total in microseconds. */
export interface PressureLine {
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
  readonly totalUs: bigint;
}

export interface Pressure {
  readonly some: PressureLine;
  readonly full: PressureLine;
}

/** Undefined members: this machine's cgroups do not tell. */
export interface Usage {
  /** Wall clock of the reading. */
  readonly atNs: bigint;
  /** CPU time since the cgroup was made. */
  readonly cpuNs: bigint | undefined;
  /** Billionths of a core over the last interval; undefined at the first reading. */
  readonly cpuNanoCores: bigint | undefined;
  readonly memoryBytes: bigint | undefined;
  /** Usage less what the kernel can drop at once (inactive file pages). */
  readonly workingSetBytes: bigint | undefined;
  readonly rssBytes: bigint | undefined;
  /** Limit less working set; undefined without a limit. */
  readonly availableBytes: bigint | undefined;
  readonly pageFaults: bigint | undefined;
  readonly majorPageFaults: bigint | undefined;
  readonly swapBytes: bigint | undefined;
  readonly swapAvailableBytes: bigint | undefined;
  readonly processes: bigint;
  readonly cpuPressure: Pressure | undefined;
  readonly memoryPressure: Pressure | undefined;
  readonly ioPressure: Pressure | undefined;
}

/** A reading by a guest's kernel: times and rates are added where it arrives. */
export type GuestUsage = Omit<Usage, 'atNs' | 'cpuNanoCores'>;

export interface InterfaceUsage {
  readonly name: string;
  readonly rxBytes: bigint;
  readonly rxPackets: bigint;
  readonly rxErrors: bigint;
  readonly rxDropped: bigint;
  readonly txBytes: bigint;
  readonly txPackets: bigint;
  readonly txErrors: bigint;
  readonly txDropped: bigint;
}

/** I/O of a cgroup on one block device since the cgroup was made. */
export interface DeviceUsage {
  readonly major: number;
  readonly minor: number;
  /** Path below /dev; `major:minor` for a device that has no name here. */
  readonly device: string;
  readonly readBytes: bigint;
  readonly writtenBytes: bigint;
  readonly reads: bigint;
  readonly writes: bigint;
}

/** What only the metrics ask for: more files than a reading for the kubelet's eviction should cost. */
export interface UsageDetails {
  readonly cpuUserNs: bigint | undefined;
  readonly cpuSystemNs: bigint | undefined;
  readonly periods: bigint | undefined;
  readonly throttledPeriods: bigint | undefined;
  readonly throttledNs: bigint | undefined;
  readonly cacheBytes: bigint | undefined;
  readonly kernelBytes: bigint | undefined;
  readonly mappedBytes: bigint | undefined;
  /** Times that the limit was hit. */
  readonly limitHits: bigint | undefined;
  readonly peakBytes: bigint | undefined;
  /** Page faults of the cgroup itself, without those below it; undefined where only the sum is told. */
  readonly ownPageFaults: bigint | undefined;
  readonly ownMajorPageFaults: bigint | undefined;
  /** Processes that the kernel killed for want of memory. */
  readonly oomKills: bigint | undefined;
  readonly hugepages: readonly {
    readonly pageSize: string;
    readonly usedBytes: bigint;
    readonly peakBytes: bigint | undefined;
  }[];
  readonly devices: readonly DeviceUsage[];
  readonly processes: bigint | undefined;
  readonly threads: bigint | undefined;
  /** 0: no limit. */
  readonly threadsMax: bigint | undefined;
  /** Of all processes; undefined when there are more than we are willing to count. */
  readonly openFiles: bigint | undefined;
  readonly sockets: bigint | undefined;
  /** Of the first process; undefined without a limit. */
  readonly openFilesSoftLimit: bigint | undefined;
}

export interface WrittenUsage {
  readonly usedBytes: bigint;
  readonly inodesUsed: bigint;
  readonly mountpoint: string;
  readonly atNs: bigint;
  /** Of the file system that this is on. */
  readonly capacity: { readonly bytes: bigint; readonly inodes: bigint; readonly inodesFree: bigint };
}

export interface StatsPort {
  /**
   * Of the container's own cgroup, at once, or by its guest's word; undefined when it is gone. A reading younger than a
   * second is given again.
   */
  container(input: {
    readonly id: ContainerId;
    readonly sandbox: SandboxSpec;
  }): Usage | undefined | Promise<Usage | undefined>;
  /** Of a container that runs; `pid` is its first process, where it is known. One after the other, with room between them. */
  details(input: {
    readonly id: ContainerId;
    readonly sandbox: SandboxSpec;
    readonly pid: number | undefined;
  }): Promise<UsageDetails>;
  /** Of the whole pod: the kubelet's pod cgroup where there is one; undefined where only the sum of the parts tells. */
  sandbox(input: { readonly id: SandboxId; readonly sandbox: SandboxSpec }): Usage | undefined;
  /**
   * Interfaces of the pod's network namespace, loopback left out; empty when it is gone. At once by a process that is in
   * it; without one by the pinned namespace itself.
   */
  interfaces(input: {
    readonly id: SandboxId;
    readonly pid: number | undefined;
  }): readonly InterfaceUsage[] | Promise<readonly InterfaceUsage[]>;
  /** What was counted lately; a new count is begun where that grows old. Undefined when it has to be counted. */
  writtenLately(id: ContainerId): WrittenUsage | undefined;
  /** What a container wrote into its root file system; undefined when there is none. */
  written(id: ContainerId, fx: EffectContext): Promise<WrittenUsage | undefined>;
}
