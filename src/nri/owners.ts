/**
 * Records which plugin set which part of a container. No two plugins may set the same part, unless the later
 * one removes it first (nri, pkg/api/owners.go). No side effects but on its own state.
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

/** A part of a container that a plugin sets or removes. */
export interface Claim {
  readonly field: Field;
  /** The entry within a field that has entries; empty for other fields. */
  readonly key: string;
  /** The plugin removes it, even if another plugin has set it. */
  readonly isCleared?: boolean;
  /** Any number of plugins may add to it. */
  readonly isShared?: boolean;
}

/** The key without its removal mark, and whether it had one. */
export function unmarked(key: string): { readonly key: string; readonly isRemoval: boolean } {
  return key.startsWith('-') ? { key: key.slice(1), isRemoval: true } : { key, isRemoval: false };
}

export class Owners {
  /** By container, field and key. A leading `-` marks a plugin that removed the part. */
  readonly #owners = new Map<string, Map<Field, Map<string, string>>>();
  /** Parts that were removed without having been set: listed for validators, and free for the next plugin. */
  readonly #free = new Set<string>();

  /**
   * Throws `outside` with the names of both plugins; then nothing is claimed. Not `conflict`, which the CRI
   * client would read as a name in use.
   */
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

  /** The owners in the form that validators get. */
  message(): MessageInitShape<typeof OwningPluginsSchema> {
    return {
      owners: Object.fromEntries([...this.#owners].map(([id, fields]) => [id, fieldsMessage(fields)])),
    };
  }

  /** The plugin that set this part; undefined when no plugin did. */
  ownerOf(containerId: string, field: Field, key = ''): string | undefined {
    const owner = this.#owners.get(containerId)?.get(field)?.get(key);
    return owner === undefined || owner.startsWith('-') ? undefined : owner;
  }

  /** Each key of a field that was set or removed, with the last plugin that did. */
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

/** Everything that an answer to CreateContainer sets or removes. */
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
    // a second plugin may not undo the removal of a namespace
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

/** Claims for all limits that are set. */
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

/** Claims for entries by name; marked ones are removed before the others are set. */
function marked(field: Field, names: readonly string[]): readonly Claim[] {
  const keys = names.map(unmarked);
  return [
    ...keys.filter(({ isRemoval }) => isRemoval).map(({ key }) => ({ field, key, isCleared: true })),
    ...keys.filter(({ isRemoval }) => !isRemoval).map(({ key }) => ({ field, key })),
  ];
}
