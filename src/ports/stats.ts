/**
 * What pods and containers use. The numbers come from kernel memory (cgroupfs, /proc), so reading them does
 * not block on a device.
 */
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

/** Undefined members: this machine's cgroups do not report them. */
export interface Usage {
  /** Wall clock at the reading. */
  readonly atNs: bigint;
  /** CPU time since the cgroup was created. */
  readonly cpuNs: bigint | undefined;
  /** Billionths of a core over the last interval; undefined at the first reading. */
  readonly cpuNanoCores: bigint | undefined;
  readonly memoryBytes: bigint | undefined;
  /** Usage minus what the kernel can reclaim at once (inactive file pages). */
  readonly workingSetBytes: bigint | undefined;
  readonly rssBytes: bigint | undefined;
  /** Limit minus working set; undefined without a limit. */
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

/** A reading by a guest's kernel: times and rates are added when it arrives. */
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

/** I/O of a cgroup on one block device since the cgroup was created. */
export interface DeviceUsage {
  readonly major: number;
  readonly minor: number;
  /** Path below /dev; `major:minor` for a device that has no name there. */
  readonly device: string;
  readonly readBytes: bigint;
  readonly writtenBytes: bigint;
  readonly reads: bigint;
  readonly writes: bigint;
}

/** What only the metrics need: it takes more file reads than the kubelet's eviction readings may cost. */
export interface UsageDetails {
  readonly cpuUserNs: bigint | undefined;
  readonly cpuSystemNs: bigint | undefined;
  readonly periods: bigint | undefined;
  readonly throttledPeriods: bigint | undefined;
  readonly throttledNs: bigint | undefined;
  readonly cacheBytes: bigint | undefined;
  readonly kernelBytes: bigint | undefined;
  readonly mappedBytes: bigint | undefined;
  /** How often the limit was hit. */
  readonly limitHits: bigint | undefined;
  readonly peakBytes: bigint | undefined;
  /**
   * Page faults of the cgroup itself, without its children; undefined where the kernel reports only the sum.
   */
  readonly ownPageFaults: bigint | undefined;
  readonly ownMajorPageFaults: bigint | undefined;
  /** Processes that the OOM killer ended. */
  readonly oomKills: bigint | undefined;
  readonly hugepages: readonly {
    readonly pageSize: string;
    readonly usedBytes: bigint;
    readonly peakBytes: bigint | undefined;
  }[];
  readonly devices: readonly DeviceUsage[];
  readonly processes: bigint | undefined;
  readonly threads: bigint | undefined;
  /** 0 means no limit. */
  readonly threadsMax: bigint | undefined;
  /** Of all processes; undefined when there are more processes than the bound on what is counted. */
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
  /** Of the file system that holds it. */
  readonly capacity: { readonly bytes: bigint; readonly inodes: bigint; readonly inodesFree: bigint };
}

export interface StatsPort {
  /**
   * Usage of the container's own cgroup, some in each turn of the event loop, or of its guest, as the guest
   * reports it; undefined when it is gone. A reading younger than a second is returned again, at once.
   */
  container(input: {
    readonly id: ContainerId;
    readonly sandbox: SandboxSpec;
  }): Usage | undefined | Promise<Usage | undefined>;
  /**
   * Details of a running container; `pid` is its first process, where known. Readings run one after the
   * other, with a pause in between.
   */
  details(input: {
    readonly id: ContainerId;
    readonly sandbox: SandboxSpec;
    readonly pid: number | undefined;
  }): Promise<UsageDetails>;
  /**
   * Usage of the whole pod: of the kubelet's pod cgroup where there is one; undefined where only the sum of
   * the containers is known.
   */
  sandbox(input: { readonly id: SandboxId; readonly sandbox: SandboxSpec }): Usage | undefined;
  /**
   * Interfaces of the pod's network namespace without loopback; empty when it is gone. Answers at once by a
   * process that is in it; without such a process it enters the pinned namespace.
   */
  interfaces(input: {
    readonly id: SandboxId;
    readonly pid: number | undefined;
  }): readonly InterfaceUsage[] | Promise<readonly InterfaceUsage[]>;
  /**
   * The last count, from memory; starts a new count when that grows old. Undefined when nothing was counted
   * yet.
   */
  writtenLately(id: ContainerId): WrittenUsage | undefined;
  /** What a container wrote into its root file system; undefined when it has none. */
  written(id: ContainerId, fx: EffectContext): Promise<WrittenUsage | undefined>;
}
