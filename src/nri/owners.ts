/**
 * Which plugin set what of a container: no two may set the same thing, unless the later one has removed it first (nri,
 * pkg/api/owners.go). Pure but for its own state.
 */
import { fail } from '../base/fault.ts';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Field } from '../gen/nri/v1alpha1/api_pb.ts';
import type {
  ContainerAdjustment,
  LinuxContainerAdjustment,
  LinuxResources,
  OwningPluginsSchema,
} from '../gen/nri/v1alpha1/api_pb.ts';

/** Something that a plugin sets or takes away. */
export interface Claim {
  readonly field: Field;
  /** Within a field that has entries; empty for others. */
  readonly key: string;
  /** It is taken away: also what another plugin has set. */
  readonly isCleared?: boolean;
  /** Any number of plugins may add to it. */
  readonly isShared?: boolean;
}

/** The key without its mark, and whether it is marked for removal. */
export function unmarked(key: string): { readonly key: string; readonly isRemoval: boolean } {
  return key.startsWith('-') ? { key: key.slice(1), isRemoval: true } : { key, isRemoval: false };
}

export class Owners {
  /** By container, then field, then key. The name of a plugin that took the thing away stands behind a `-`. */
  readonly #owners = new Map<string, Map<Field, Map<string, string>>>();
  /** What was taken away and no plugin had set: on record for validators, and free for the next plugin. */
  readonly #free = new Set<string>();

  /** Throws `outside` that names both plugins; nothing is claimed then. For our caller no name is taken: `conflict` would say so. */
  claim(containerId: string, plugin: string, claims: readonly Claim[]): void {
    const cleared = new Set(claims.filter(({ isCleared }) => isCleared === true).map(idOf));
    for (const claim of claims) {
      const owner = this.#owners.get(containerId)?.get(claim.field)?.get(claim.key);
      if (
        owner === undefined ||
        claim.isCleared === true ||
        claim.isShared === true ||
        cleared.has(idOf(claim))
      )
        continue;
      if (unmarked(owner).key === plugin || this.#free.has(`${containerId} ${idOf(claim)}`)) continue;
      fail(
        'outside',
        `nri: plugins ${unmarked(owner).key} and ${plugin} both set ${nameOf(claim)} of container ${containerId}`,
        { subject: containerId },
      );
    }
    for (const claim of claims) this.#take(containerId, plugin, claim);
  }

  /** As validators are told. */
  message(): MessageInitShape<typeof OwningPluginsSchema> {
    return {
      owners: Object.fromEntries([...this.#owners].map(([id, fields]) => [id, fieldsMessage(fields)])),
    };
  }

  /** Who set this thing; undefined for nobody. */
  ownerOf(containerId: string, field: Field, key = ''): string | undefined {
    const owner = this.#owners.get(containerId)?.get(field)?.get(key);
    return owner === undefined || owner.startsWith('-') ? undefined : owner;
  }

  /** Each key of a field that was set or taken away, with the last plugin that did. */
  touchedOf(containerId: string, field: Field): readonly { readonly key: string; readonly plugin: string }[] {
    return [...(this.#owners.get(containerId)?.get(field) ?? [])].map(([key, owner]) => ({
      key,
      plugin: unmarked(owner).key,
    }));
  }

  #take(containerId: string, plugin: string, claim: Claim): void {
    const { field, key, isCleared, isShared } = claim;
    const fields = this.#owners.get(containerId) ?? new Map<Field, Map<string, string>>();
    const keys = fields.get(field) ?? new Map<string, string>();
    const before = keys.get(key);
    const id = `${containerId} ${idOf(claim)}`;
    if (isCleared === true && before === undefined) this.#free.add(id);
    else if (isCleared !== true) this.#free.delete(id);
    const shared = isShared === true && before !== undefined ? `${before},${plugin}` : plugin;
    keys.set(key, isCleared === true ? `-${plugin}` : shared);
    fields.set(field, keys);
    this.#owners.set(containerId, fields);
  }
}

function fieldsMessage(fields: ReadonlyMap<Field, ReadonlyMap<string, string>>) {
  const entries = [...fields].map(([field, keys]) => [Number(field), keys] as const);
  return {
    simple: Object.fromEntries(
      entries.flatMap(([field, keys]) =>
        [...keys].filter(([key]) => key === '').map(([, owner]) => [field, owner]),
      ),
    ),
    compound: Object.fromEntries(
      entries
        .filter(([, keys]) => !keys.has(''))
        .map(([field, keys]) => [field, { owners: Object.fromEntries(keys) }]),
    ),
  };
}

function idOf({ field, key }: Claim): string {
  return `${field} ${key}`;
}

const FIELD_NAMES = new Map(Object.entries(Field).map(([name, number]) => [number as Field, name]));

function nameOf({ field, key }: Claim): string {
  const name = FIELD_NAMES.get(field) ?? String(field);
  return key === '' ? name : `${name} ${key}`;
}

/** All that an answer to CreateContainer sets or takes away. */
export function claimsOf(adjust: ContainerAdjustment): readonly Claim[] {
  const { annotations, mounts, env, hooks, rlimits, CDIDevices, args, linux } = adjust;
  return [
    ...marked(Field.Annotations, Object.keys(annotations)),
    ...marked(
      Field.Mounts,
      mounts.map(({ destination }) => destination),
    ),
    ...marked(
      Field.Env,
      env.map(({ key }) => key),
    ),
    ...(args.length === 0
      ? []
      : [
          ...(args[0] === '' ? [{ field: Field.Args, key: '', isCleared: true }] : []),
          { field: Field.Args, key: '' },
        ]),
    ...(hooks === undefined ? [] : [{ field: Field.OciHooks, key: '', isShared: true }]),
    ...rlimits.map(({ type }) => ({ field: Field.Rlimits, key: type })),
    ...CDIDevices.map(({ name }) => ({ field: Field.CdiDevices, key: name })),
    ...(linux === undefined ? [] : linuxClaims(linux)),
  ];
}

function linuxClaims(linux: LinuxContainerAdjustment): readonly Claim[] {
  const { rdt } = linux;
  const rdtFields = [Field.RdtClosID, Field.RdtSchemata, Field.RdtEnableMonitoring];
  return [
    ...marked(
      Field.Devices,
      linux.devices.map(({ path }) => path),
    ),
    // taking one away is a choice that no second plugin may undo
    ...linux.namespaces.map(({ type }) => ({ field: Field.Namespace, key: unmarked(type).key })),
    ...marked(Field.Sysctl, Object.keys(linux.sysctl)),
    ...marked(Field.LinuxNetDevices, Object.keys(linux.netDevices)),
    ...(linux.resources === undefined ? [] : resourceClaims(linux.resources)),
    ...set(Field.CgroupsPath, linux.cgroupsPath === '' ? undefined : linux.cgroupsPath),
    ...set(Field.OomScoreAdj, linux.oomScoreAdj),
    ...set(Field.IoPriority, linux.ioPriority),
    ...set(Field.SeccompPolicy, linux.seccompPolicy),
    ...set(Field.LinuxSched, linux.scheduler),
    ...set(Field.MemoryPolicy, linux.memoryPolicy),
    ...(rdt?.remove === true ? rdtFields.map((field) => ({ field, key: '', isCleared: true })) : []),
    ...set(Field.RdtClosID, rdt?.closId),
    ...set(Field.RdtSchemata, rdt?.schemata),
    ...set(Field.RdtEnableMonitoring, rdt?.enableMonitoring),
  ];
}

/** All limits that are set. */
export function resourceClaims({
  memory,
  cpu,
  hugepageLimits,
  unified,
  pids,
  blockioClass,
  rdtClass,
}: LinuxResources): readonly Claim[] {
  return [
    ...set(Field.MemLimit, memory?.limit),
    ...set(Field.MemReservation, memory?.reservation),
    ...set(Field.MemSwapLimit, memory?.swap),
    ...set(Field.MemKernelLimit, memory?.kernel),
    ...set(Field.MemTCPLimit, memory?.kernelTcp),
    ...set(Field.MemSwappiness, memory?.swappiness),
    ...set(Field.MemDisableOomKiller, memory?.disableOomKiller),
    ...set(Field.MemUseHierarchy, memory?.useHierarchy),
    ...set(Field.CPUShares, cpu?.shares),
    ...set(Field.CPUQuota, cpu?.quota),
    ...set(Field.CPUPeriod, cpu?.period),
    ...set(Field.CPURealtimeRuntime, cpu?.realtimeRuntime),
    ...set(Field.CPURealtimePeriod, cpu?.realtimePeriod),
    ...set(Field.CPUSetCPUs, cpu?.cpus === '' ? undefined : cpu?.cpus),
    ...set(Field.CPUSetMems, cpu?.mems === '' ? undefined : cpu?.mems),
    ...set(Field.PidsLimit, pids),
    ...set(Field.BlockioClass, blockioClass),
    ...set(Field.RdtClass, rdtClass),
    ...hugepageLimits.map(({ pageSize }) => ({ field: Field.HugepageLimits, key: pageSize })),
    ...Object.keys(unified).map((key) => ({ field: Field.CgroupsUnified, key })),
  ];
}

function set(field: Field, value: unknown): readonly Claim[] {
  return value === undefined ? [] : [{ field, key: '' }];
}

/** Entries by name, of which some are marked for removal: those are taken away before the others are set. */
function marked(field: Field, names: readonly string[]): readonly Claim[] {
  const keys = names.map(unmarked);
  return [
    ...keys.filter(({ isRemoval }) => isRemoval).map(({ key }) => ({ field, key, isCleared: true })),
    ...keys.filter(({ isRemoval }) => !isRemoval).map(({ key }) => ({ field, key })),
  ];
}
