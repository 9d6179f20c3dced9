/** Converts limits between NRI's messages and troupe's. Pure. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { NO_LIMITS } from '../ports/resources.ts';
import type { Resources } from '../ports/specs.ts';
import type { LinuxResources, LinuxResourcesSchema } from '../gen/nri/v1alpha1/api_pb.ts';

/** The limits that ContainerStatus and updates have too; an unset one stays as it is. */
export function changeOf({ memory, cpu, hugepageLimits, unified }: LinuxResources): Resources {
  return {
    ...NO_LIMITS,
    cpuPeriod: cpu?.period?.value,
    cpuQuota: cpu?.quota?.value,
    cpuShares: cpu?.shares?.value,
    cpusetCpus: cpu?.cpus ?? '',
    cpusetMems: cpu?.mems ?? '',
    memoryLimitBytes: memory?.limit?.value,
    memorySwapLimitBytes: memory?.swap?.value,
    hugepageLimits: hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limitBytes: limit })),
    unified,
  };
}

/** Names of the other limits in it: they can be set when a container is created, and not changed later. */
export function fixedLimits({
  memory,
  cpu,
  pids,
  devices,
  blockioClass,
  rdtClass,
}: LinuxResources): readonly string[] {
  const named: Readonly<Record<string, unknown>> = {
    'memory reservation': memory?.reservation,
    'kernel memory': memory?.kernel,
    'kernel TCP memory': memory?.kernelTcp,
    swappiness: memory?.swappiness,
    'disabled OOM killer': memory?.disableOomKiller,
    'memory hierarchy': memory?.useHierarchy,
    'realtime runtime': cpu?.realtimeRuntime,
    'realtime period': cpu?.realtimePeriod,
    'number of processes': pids,
    'device rules': devices.length === 0 ? undefined : devices,
    'block I/O class': blockioClass,
    'RDT class': rdtClass,
  };
  return Object.keys(named).filter((name) => named[name] !== undefined);
}

/** The limits as an NRI message. */
export function limitsMessage(resources: Resources): MessageInitShape<typeof LinuxResourcesSchema> {
  const { cpuPeriod, cpuQuota, cpuShares, memoryLimitBytes, memorySwapLimitBytes, cpusetCpus, cpusetMems } =
    resources;
  return {
    memory: { ...optional('limit', memoryLimitBytes), ...optional('swap', memorySwapLimitBytes) },
    cpu: {
      ...optional('shares', cpuShares),
      ...optional('quota', cpuQuota),
      ...optional('period', cpuPeriod),
      cpus: cpusetCpus,
      mems: cpusetMems,
    },
    hugepageLimits: resources.hugepageLimits.map(({ pageSize, limitBytes }) => ({
      pageSize,
      limit: limitBytes,
    })),
    unified: resources.unified,
  };
}

/** An optional field of an NRI message. */
export function optional<K extends string, V>(
  name: K,
  value: V | undefined,
): Partial<Record<K, { readonly value: V }>> {
  return value === undefined ? {} : ({ [name]: { value } } as Partial<Record<K, { readonly value: V }>>);
}
