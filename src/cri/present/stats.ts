/**
 * Usage → CRI messages. Pure. Every part has its timestamp; a value that the machine does not report is left out, not
 * zero.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';
import type { InterfaceUsage, Pressure, PressureLine, Usage, WrittenUsage } from '../../ports/stats.ts';
import type { ContainerView, SandboxView } from '../../actors/directory/views.ts';
import {
  ContainerAttributesSchema,
  ListContainerStatsResponseSchema,
  ListPodSandboxStatsResponseSchema,
} from '../../gen/runtime/v1/api_pb.ts';
import type {
  ContainerAttributes,
  ContainerStatsSchema,
  PodSandboxStatsSchema,
} from '../../gen/runtime/v1/api_pb.ts';

export interface ContainerParts {
  readonly view: ContainerView;
  readonly usage: Usage;
  readonly written: WrittenUsage | undefined;
}

/**
 * Attributes by view, created once: labels are the larger part of each answer, and most of the garbage that a list
 * leaves.
 */
const attributes = new WeakMap<ContainerView, ContainerAttributes>();

function attributesOf(view: ContainerView): ContainerAttributes {
  const { key, labels, annotations } = view.spec;
  const made =
    attributes.get(view) ??
    create(ContainerAttributesSchema, {
      id: view.id,
      metadata: { name: key.name, attempt: key.attempt },
      labels,
      annotations,
    });
  attributes.set(view, made);
  return made;
}

/** One container's statistics. */
export function containerStatsMessage({
  view,
  usage,
  written,
}: ContainerParts): MessageInitShape<typeof ContainerStatsSchema> {
  return {
    attributes: attributesOf(view),
    ...shared(usage),
    swap: {
      timestamp: usage.atNs,
      ...wrapped('swapUsageBytes', usage.swapBytes),
      ...wrapped('swapAvailableBytes', usage.swapAvailableBytes),
    },
    ...(written === undefined ? {} : { writableLayer: writableLayer(written) }),
  };
}

/**
 * A list's answer with this container alone; such answers joined are the answer with all of them. Encoded one by one,
 * as they are read, a thousand don't hold up the event loop: in one piece they took 30 to 140 ms.
 */
export function containerStatsEntry(parts: ContainerParts): Uint8Array {
  const stats = [containerStatsMessage(parts)];
  return toBinary(ListContainerStatsResponseSchema, create(ListContainerStatsResponseSchema, { stats }));
}

/** As `containerStatsEntry`, for a pod. */
export function sandboxStatsEntry(parts: SandboxParts): Uint8Array {
  const stats = [sandboxStats(parts)];
  return toBinary(ListPodSandboxStatsResponseSchema, create(ListPodSandboxStatsResponseSchema, { stats }));
}

export interface SandboxParts {
  readonly view: SandboxView;
  readonly usage: Usage;
  /** Empty for a pod on the host's network. */
  readonly interfaces: readonly InterfaceUsage[];
  readonly containers: readonly ContainerParts[];
}

/**
 * The interface that CNI creates for the pod. A container may rename it; then the first interface is the default, since
 * the kubelet dereferences the default interface of every network and crashes without one.
 */
const DEFAULT_INTERFACE = 'eth0';

/** One pod's statistics with its containers'. */
export function sandboxStats({
  view,
  usage,
  interfaces,
  containers,
}: SandboxParts): MessageInitShape<typeof PodSandboxStatsSchema> {
  const { key, labels, annotations } = view.spec;
  const main = interfaces.find(({ name }) => name === DEFAULT_INTERFACE) ?? interfaces[0];
  return {
    attributes: {
      id: view.id,
      metadata: { name: key.name, uid: key.uid, namespace: key.namespace, attempt: key.attempt },
      labels,
      annotations,
    },
    linux: {
      ...shared(usage),
      process: { timestamp: usage.atNs, processCount: { value: usage.processes } },
      containers: containers.map(containerStatsMessage),
      ...(interfaces.length === 0
        ? {}
        : {
            network: {
              timestamp: usage.atNs,
              ...(main === undefined ? {} : { defaultInterface: networkInterface(main) }),
              interfaces: interfaces.filter((one) => one !== main).map(networkInterface),
            },
          }),
    },
  };
}

function shared(usage: Usage) {
  const timestamp = usage.atNs;
  return {
    cpu: {
      timestamp,
      ...wrapped('usageCoreNanoSeconds', usage.cpuNs),
      ...wrapped('usageNanoCores', usage.cpuNanoCores),
      ...psi(usage.cpuPressure),
    },
    memory: {
      timestamp,
      ...wrapped('workingSetBytes', usage.workingSetBytes),
      ...wrapped('availableBytes', usage.availableBytes),
      ...wrapped('usageBytes', usage.memoryBytes),
      ...wrapped('rssBytes', usage.rssBytes),
      ...wrapped('pageFaults', usage.pageFaults),
      ...wrapped('majorPageFaults', usage.majorPageFaults),
      ...psi(usage.memoryPressure),
    },
    ...(usage.ioPressure === undefined ? {} : { io: { timestamp, ...psi(usage.ioPressure) } }),
  };
}

function wrapped<K extends string>(
  name: K,
  value: bigint | undefined,
): Partial<Record<K, { value: bigint }>> {
  return value === undefined
    ? {}
    : ({ [name]: { value: value > U64_MAX ? U64_MAX : value } } as Record<K, { value: bigint }>);
}

/**
 * The largest value of CRI's UInt64Value. A sum or rate of figures that a guest reports may be larger; encoding it
 * would fail the answer about all containers.
 */
const U64_MAX = 2n ** 64n - 1n;

function psi(pressure: Pressure | undefined) {
  return pressure === undefined
    ? {}
    : { psi: { Some: psiLine(pressure.some), Full: psiLine(pressure.full) } };
}

/** CRI's total is in nanoseconds, as cAdvisor's; the kernel's is in microseconds. */
function psiLine({ avg10, avg60, avg300, totalUs }: PressureLine) {
  return { Avg10: avg10, Avg60: avg60, Avg300: avg300, Total: totalUs * 1000n };
}

function writableLayer({ usedBytes, inodesUsed, mountpoint, atNs }: WrittenUsage) {
  return {
    timestamp: atNs,
    fsId: { mountpoint },
    usedBytes: { value: usedBytes },
    inodesUsed: { value: inodesUsed },
  };
}

function networkInterface({ name, rxBytes, rxErrors, txBytes, txErrors }: InterfaceUsage) {
  return {
    name,
    rxBytes: { value: rxBytes },
    rxErrors: { value: rxErrors },
    txBytes: { value: txBytes },
    txErrors: { value: txErrors },
  };
}
