/** What pods and containers use. Numbers come from kernel memory (cgroupfs, /proc), so reading them waits for nothing. */
import type { ContainerId, SandboxId } from '../../base/ids.ts';
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

export interface InterfaceUsage {
  readonly name: string;
  readonly rxBytes: bigint;
  readonly rxErrors: bigint;
  readonly txBytes: bigint;
  readonly txErrors: bigint;
}

export interface WrittenUsage {
  readonly usedBytes: bigint;
  readonly inodesUsed: bigint;
  readonly mountpoint: string;
  readonly atNs: bigint;
}

export interface StatsPort {
  /** Of the container's own cgroup; undefined when it is gone. A reading younger than a second is given again. */
  container(input: { readonly id: ContainerId; readonly sandbox: SandboxSpec }): Usage | undefined;
  /** Of the whole pod: the kubelet's pod cgroup where there is one; undefined where only the sum of the parts tells. */
  sandbox(input: { readonly id: SandboxId; readonly sandbox: SandboxSpec }): Usage | undefined;
  /** Interfaces of the network namespace that this process is in, loopback left out; empty when it is gone. */
  interfaces(pid: number): readonly InterfaceUsage[];
  /** What a container wrote into its root file system; undefined when there is none. */
  written(id: ContainerId, fx: EffectContext): Promise<WrittenUsage | undefined>;
}
