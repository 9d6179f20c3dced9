/** Converts pods and containers to NRI messages. Pure. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { NriContainer, NriPod } from '../ports/nri.ts';
import type { SeccompChoice } from '../ports/specs.ts';
import {
  ContainerSchema,
  ContainerState,
  IOPrioClass,
  LinuxSchedulerFlag,
  LinuxSchedulerPolicy,
  SecurityProfile_ProfileType,
} from '../gen/nri/v1alpha1/api_pb.ts';
import type {
  HookSchema,
  LinuxContainerSchema,
  LinuxResourcesSchema,
  LinuxSeccompSchema,
  PodSandboxSchema,
} from '../gen/nri/v1alpha1/api_pb.ts';
import type { OciHook, OciResources, OciSeccomp, OciSpec } from '../oci/runtime/spec/types.ts';
import { nriLimits } from './bounds.ts';
import { encodeMessage } from '../ttrpc/protocol.ts';
import { limitsMessage, optional } from './limits.ts';

export type ContainerMessage = MessageInitShape<typeof ContainerSchema>;
export type PodMessage = MessageInitShape<typeof PodSandboxSchema>;

const STATE = {
  created: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  exited: ContainerState.CONTAINER_STOPPED,
} as const;

/** Describes a pod; `namespaces` are its pinned ones, by type and path. */
export function podMessage(
  { id, spec, ips, pause }: NriPod,
  namespaces: readonly { readonly type: string; readonly path: string }[],
): PodMessage {
  const { key, labels, annotations, handler, cgroupParent, resources, overhead } = spec;
  return {
    id,
    name: key.name,
    uid: key.uid,
    namespace: key.namespace,
    labels,
    annotations,
    runtimeHandler: handler,
    ips: [...ips],
    pid: pause?.pid ?? 0,
    linux: {
      cgroupParent,
      namespaces: [...namespaces],
      ...(resources === undefined ? {} : { podResources: limitsMessage(resources) }),
      ...(overhead === undefined ? {} : { podOverhead: limitsMessage(overhead) }),
    },
  };
}

/** Describes a container by its OCI spec; without one (a container of an earlier boot) by its request. */
export function containerMessage(container: NriContainer, document: OciSpec | undefined): ContainerMessage {
  const { id, spec, image, criState, init, createdAtNs, startedAtNs, exit } = container;
  return {
    id,
    podSandboxId: spec.key.sandboxId,
    name: spec.key.name,
    state: STATE[criState],
    labels: spec.labels,
    annotations: { ...document?.annotations, ...spec.annotations },
    pid: criState === 'running' ? (init?.pid ?? 0) : 0,
    createdAt: createdAtNs,
    startedAt: startedAtNs ?? 0n,
    finishedAt: exit?.finishedAtNs ?? 0n,
    exitCode: exit?.exitCode ?? 0,
    statusReason: exit?.reason ?? '',
    statusMessage: exit?.message ?? '',
    image: { name: spec.imageRequested, digest: digestOf(image.ref), configDigest: image.id },
    ...(document === undefined
      ? { linux: { resources: limitsMessage(spec.resources) } }
      : { ...documentFields(document), linux: linuxFields(document, spec.security.seccomp) }),
  };
}

/**
 * As `containerMessage`, but without the OCI spec when that makes the message too long. For containers that
 * exist already: no plugin can adjust them any more.
 */
export function boundedContainerMessage(
  container: NriContainer,
  document: OciSpec | undefined,
): ContainerMessage {
  const whole = containerMessage(container, document);
  if (document === undefined || encodeMessage(ContainerSchema, whole).length <= nriLimits.containerBytes)
    return whole;
  return containerMessage(container, undefined);
}

function digestOf(ref: string): string {
  return ref.slice(ref.indexOf('@') + 1);
}

function documentFields({ process: { args, env, user, rlimits }, mounts, hooks = {} }: OciSpec) {
  return {
    args: [...args],
    env: [...env],
    user: { uid: user.uid, gid: user.gid, additionalGids: [...user.additionalGids] },
    rlimits: rlimits.map(({ type, soft, hard }) => ({ type, soft: unsigned(soft), hard: unsigned(hard) })),
    mounts: mounts.map(({ destination, type, source, options }) => ({
      destination,
      type,
      source,
      options: [...options],
    })),
    hooks: Object.fromEntries(Object.entries(hooks).map(([kind, list]) => [kind, list.map(hookMessage)])),
  };
}

const UINT64_MAX = 2n ** 64n - 1n;

/**
 * A spec that was read back as JSON has lost digits of the largest numbers, and "no limit" is the largest
 * number.
 */
function unsigned(value: number | bigint): bigint {
  const exact = BigInt(value);
  return exact > UINT64_MAX ? UINT64_MAX : exact;
}

function hookMessage({ path, args = [], env = [], timeout }: OciHook): MessageInitShape<typeof HookSchema> {
  return {
    path,
    args: [...args],
    env: [...env],
    ...optional('timeout', timeout === undefined ? undefined : BigInt(timeout)),
  };
}

function linuxFields(
  { process, linux }: OciSpec,
  seccomp: SeccompChoice,
): MessageInitShape<typeof LinuxContainerSchema> {
  const { ioPriority, scheduler } = process;
  return {
    namespaces: linux.namespaces.map(({ type, path }) => ({ type, path: path ?? '' })),
    devices: linux.devices.map(({ path, type, major, minor, fileMode, uid, gid }) => ({
      path,
      type,
      major: BigInt(major),
      minor: BigInt(minor),
      fileMode: { value: fileMode },
      uid: { value: uid },
      gid: { value: gid },
    })),
    resources: resourcesMessage(linux.resources),
    oomScoreAdj: { value: BigInt(process.oomScoreAdj) },
    cgroupsPath: linux.cgroupsPath,
    sysctl: linux.sysctl ?? {},
    netDevices: Object.fromEntries(
      Object.entries(linux.netDevices ?? {}).map(([host, { name }]) => [host, { name: name ?? '' }]),
    ),
    seccompProfile: profileOf(seccomp),
    ...(linux.seccomp === undefined ? {} : { seccompPolicy: seccompMessage(linux.seccomp) }),
    ...(ioPriority === undefined
      ? {}
      : { ioPriority: { class: numbered(IOPrioClass, ioPriority.class), priority: ioPriority.priority } }),
    ...(scheduler === undefined
      ? {}
      : {
          scheduler: {
            ...scheduler,
            policy: numbered(LinuxSchedulerPolicy, scheduler.policy),
            flags: (scheduler.flags ?? []).map((flag) => numbered(LinuxSchedulerFlag, flag)),
          },
        }),
    ...(linux.intelRdt === undefined ? {} : { rdt: rdtMessage(linux.intelRdt) }),
  };
}

/** The number of an enum name that troupe itself wrote. */
function numbered<T extends Readonly<Record<string, number>>>(names: T, name: string): T[keyof T] {
  return (names[name] ?? 0) as T[keyof T];
}

function rdtMessage({ closID, schemata, enableMonitoring }: NonNullable<OciSpec['linux']['intelRdt']>) {
  return {
    ...optional('closId', closID),
    ...optional('schemata', schemata === undefined ? undefined : [...schemata]),
    ...optional('enableMonitoring', enableMonitoring),
  };
}

function profileOf(seccomp: SeccompChoice) {
  const { LOCALHOST, RUNTIME_DEFAULT, UNCONFINED } = SecurityProfile_ProfileType;
  if (seccomp.type === 'localhost') return { profileType: LOCALHOST, localhostRef: seccomp.path };
  return { profileType: seccomp.type === 'unconfined' ? UNCONFINED : RUNTIME_DEFAULT };
}

function seccompMessage(seccomp: OciSeccomp): MessageInitShape<typeof LinuxSeccompSchema> {
  return {
    defaultAction: seccomp.defaultAction,
    ...optional('defaultErrno', seccomp.defaultErrnoRet),
    architectures: [...seccomp.architectures],
    flags: [...(seccomp.flags ?? [])],
    listenerPath: seccomp.listenerPath ?? '',
    listenerMetadata: seccomp.listenerMetadata ?? '',
    syscalls: seccomp.syscalls.map(({ names, action, errnoRet, args = [] }) => ({
      names: [...names],
      action,
      ...optional('errnoRet', errnoRet),
      args: args.map(({ index, value, valueTwo, op }) => ({
        index,
        value: unsigned(value),
        valueTwo: unsigned(valueTwo ?? 0n),
        op,
      })),
    })),
  };
}

function resourcesMessage({
  memory,
  cpu,
  pids,
  hugepageLimits = [],
  unified = {},
  devices,
}: OciResources): MessageInitShape<typeof LinuxResourcesSchema> {
  return {
    memory: {
      ...optional('limit', whole(memory?.limit)),
      ...optional('reservation', whole(memory?.reservation)),
      ...optional('swap', whole(memory?.swap)),
      ...optional('kernel', whole(memory?.kernel)),
      ...optional('kernelTcp', whole(memory?.kernelTCP)),
      ...optional('swappiness', whole(memory?.swappiness)),
      ...optional('disableOomKiller', memory?.disableOOMKiller),
      ...optional('useHierarchy', memory?.useHierarchy),
    },
    cpu: {
      ...optional('shares', whole(cpu?.shares)),
      ...optional('quota', whole(cpu?.quota)),
      ...optional('period', whole(cpu?.period)),
      ...optional('realtimeRuntime', whole(cpu?.realtimeRuntime)),
      ...optional('realtimePeriod', whole(cpu?.realtimePeriod)),
      cpus: cpu?.cpus ?? '',
      mems: cpu?.mems ?? '',
    },
    hugepageLimits: hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limit: unsigned(limit) })),
    unified,
    devices: devices.map(({ allow, type = 'a', major, minor, access }) => ({
      allow,
      type,
      access,
      ...optional('major', major === undefined ? undefined : BigInt(major)),
      ...optional('minor', minor === undefined ? undefined : BigInt(minor)),
    })),
    ...(pids === undefined ? {} : { pids: { limit: BigInt(pids.limit) } }),
  };
}

const INT64_MAX = 2n ** 63n - 1n;

/** A spec that was read back as JSON has plain numbers in place of bigint. */
function whole(value: bigint | undefined): bigint | undefined {
  if (value === undefined) return undefined;
  const exact = BigInt(value);
  return exact > INT64_MAX ? INT64_MAX : exact;
}
