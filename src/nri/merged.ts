/** Merges the adjustments of several plugins into one message, for validators. Pure. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  ContainerAdjustment,
  ContainerAdjustmentSchema,
  Hooks,
  LinuxContainerAdjustment,
  LinuxResources,
} from '../gen/nri/v1alpha1/api_pb.ts';
import { HOOK_KINDS } from '../oci/runtime/spec/types.ts';

/** Lists are concatenated; maps and single fields are merged. No two plugins have set the same field. */
export function merged(
  adjustments: readonly ContainerAdjustment[],
): MessageInitShape<typeof ContainerAdjustmentSchema> {
  const linux = adjustments.flatMap((one) => one.linux ?? []);
  const hooks = adjustments.flatMap((one) => one.hooks ?? []);
  return {
    annotations: overlaid(adjustments.map((one) => one.annotations)),
    mounts: adjustments.flatMap((one) => one.mounts),
    env: adjustments.flatMap((one) => one.env),
    rlimits: adjustments.flatMap((one) => one.rlimits),
    CDIDevices: adjustments.flatMap((one) => one.CDIDevices),
    args: adjustments.findLast((one) => one.args.length > 0)?.args ?? [],
    ...(hooks.length === 0
      ? {}
      : {
          hooks: Object.fromEntries(
            HOOK_KINDS.map((kind) => [kind, hooks.flatMap((one: Hooks) => one[kind])]),
          ),
        }),
    ...(linux.length === 0 ? {} : { linux: mergedLinux(linux) }),
  };
}

function mergedLinux(
  all: readonly LinuxContainerAdjustment[],
): NonNullable<MessageInitShape<typeof ContainerAdjustmentSchema>['linux']> {
  const resources = all.flatMap((one) => one.resources ?? []);
  return {
    ...laid(all),
    devices: all.flatMap((one) => one.devices),
    namespaces: all.flatMap((one) => one.namespaces),
    sysctl: overlaid(all.map((one) => one.sysctl)),
    netDevices: overlaid(all.map((one) => one.netDevices)),
    ...(resources.length === 0 ? {} : { resources: mergedResources(resources) }),
  };
}

function mergedResources(all: readonly LinuxResources[]) {
  return {
    ...laid(all),
    memory: laid(all.flatMap((one) => one.memory ?? [])),
    cpu: laid(all.flatMap((one) => one.cpu ?? [])),
    hugepageLimits: all.flatMap((one) => one.hugepageLimits),
    devices: all.flatMap((one) => one.devices),
    unified: overlaid(all.map((one) => one.unified)),
  };
}

/** Later entries win. Built from entries, since assigning to the key `__proto__` would throw (S61). */
function overlaid<T>(maps: readonly { readonly [key: string]: T }[]): Record<string, T> {
  return Object.fromEntries(maps.flatMap((map) => Object.entries(map)));
}

/** The set fields of all; later ones win. */
function laid<T extends object>(all: readonly T[]): Omit<Partial<T>, '$typeName' | '$unknown'> {
  const entries = all.flatMap((one) =>
    Object.entries(one).filter(([key, value]) => !key.startsWith('$') && value !== undefined && value !== ''),
  );
  return Object.fromEntries(entries) as Omit<Partial<T>, '$typeName' | '$unknown'>;
}
