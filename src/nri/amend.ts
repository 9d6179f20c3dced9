/** Applies a plugin's adjustment to the OCI spec of a container that is being created. Pure. */
import { fail } from '../base/fault.ts';
import type {
  ContainerAdjustment,
  Hooks,
  KeyValue,
  LinuxDevice,
  LinuxNamespace,
  Mount,
  POSIXRlimit,
} from '../gen/nri/v1alpha1/api_pb.ts';
import { HOOK_KINDS } from '../oci/runtime/spec/types.ts';
import type {
  NamespaceType,
  OciDevice,
  OciDeviceRule,
  OciHooks,
  OciLinux,
  OciMount,
  OciNamespace,
  OciProcess,
  OciSpec,
} from '../oci/runtime/spec/types.ts';
import { amendLinuxExtras, amendProcessExtras } from './amend-extras.ts';
import { amendResources } from './amend-resources.ts';
import { unmarked } from './owners.ts';

/**
 * The spec with every change in `adjust`, except the limits that `changeOf` returns. Throws `unsupported` and
 * `invalidRequest`.
 */
export function amend(document: OciSpec, adjust: ContainerAdjustment, plugin: string): OciSpec {
  const { annotations, mounts, env, args, rlimits, hooks, linux } = adjust;
  if ((linux?.cgroupsPath ?? '') !== '') {
    // signals, statistics and OOM detection read the cgroup that the pod assigned
    fail('unsupported', `nri plugin ${plugin}: set the cgroups path: containers stay in their pod's cgroup`, {
      subject: plugin,
    });
  }
  const process = amendProcess(document.process, { env, args, rlimits });
  const amended: OciSpec = {
    ...document,
    process: linux === undefined ? process : amendProcessExtras(process, linux),
    mounts: amendMounts(document.mounts, mounts, plugin),
    annotations: amendMap(document.annotations, annotations),
    ...(hooks === undefined ? {} : { hooks: amendHooks(document.hooks ?? {}, hooks) }),
    linux: propagated(document.linux, mounts),
  };
  if (linux === undefined) return amended;
  return {
    ...amended,
    linux: amendLinuxExtras(
      {
        ...amended.linux,
        namespaces: amendNamespaces(amended.linux.namespaces, linux.namespaces, plugin),
        ...amendDevices(amended.linux, linux.devices, plugin),
        ...(Object.keys(linux.sysctl).length === 0
          ? {}
          : { sysctl: amendMap(amended.linux.sysctl ?? {}, linux.sysctl) }),
        ...(linux.resources === undefined
          ? {}
          : {
              resources: amendResources(
                withDeviceRules(amended.linux, linux.devices),
                linux.resources,
                plugin,
              ),
            }),
      },
      linux,
    ),
  };
}

/** Sets entries; an entry whose key has the removal mark is deleted. */
function amendMap(
  before: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const after = new Map(Object.entries(before));
  for (const name of Object.keys(changes)) {
    const { key, isRemoval } = unmarked(name);
    if (isRemoval) after.delete(key);
  }
  for (const [name, value] of Object.entries(changes)) if (!unmarked(name).isRemoval) after.set(name, value);
  return Object.fromEntries(after);
}

function amendProcess(
  before: OciProcess,
  {
    env,
    args,
    rlimits,
  }: {
    readonly env: readonly KeyValue[];
    readonly args: readonly string[];
    readonly rlimits: readonly POSIXRlimit[];
  },
): OciProcess {
  // an empty first word allows the plugin to replace the arguments that another plugin has set
  const words = args[0] === '' ? args.slice(1) : args;
  const types = new Set(rlimits.map(({ type }) => type));
  return {
    ...before,
    ...(words.length === 0 ? {} : { args: words }),
    env: amendEnv(before.env, env),
    rlimits: [
      ...before.rlimits.filter(({ type }) => !types.has(type)),
      ...rlimits.map(({ type, soft, hard }) => ({ type, soft, hard })),
    ],
  };
}

/** A variable that is set again keeps its position. */
function amendEnv(before: readonly string[], changes: readonly KeyValue[]): readonly string[] {
  const after = new Map(
    before.map((entry) => {
      const at = entry.indexOf('=');
      return at < 0 ? [entry, entry] : [entry.slice(0, at), entry];
    }),
  );
  for (const { key } of changes) {
    const name = unmarked(key);
    if (name.isRemoval) after.delete(name.key);
  }
  for (const { key, value } of changes) if (!unmarked(key).isRemoval) after.set(key, `${key}=${value}`);
  return [...after.values()];
}

function amendMounts(
  before: readonly OciMount[],
  changes: readonly Mount[],
  plugin: string,
): readonly OciMount[] {
  if (changes.length === 0) return before;
  const touched = new Set(changes.map(({ destination }) => unmarked(destination).key));
  const added = changes
    .filter(({ destination }) => !unmarked(destination).isRemoval)
    .map(({ destination, type, source, options }) => {
      if (!destination.startsWith('/'))
        fail('invalidRequest', `nri plugin ${plugin}: mount at ${destination}: not an absolute path`, {
          subject: plugin,
        });
      return { destination, type, source, options };
    });
  const all = [...before.filter(({ destination }) => !touched.has(destination)), ...added];
  // a mount must follow the mount that contains its path; mounts of one depth keep their order
  return all.toSorted((a, b) => depth(a.destination) - depth(b.destination));
}

function depth(path: string): number {
  return path.split('/').filter((part) => part !== '').length;
}

/** A shared or slave mount only works below a root with shared or slave propagation. */
function propagated(linux: OciLinux, mounts: readonly Mount[]): OciLinux {
  const options = new Set(
    mounts.filter(({ destination }) => !unmarked(destination).isRemoval).flatMap(({ options: own }) => own),
  );
  if (options.has('rshared') || options.has('shared')) return { ...linux, rootfsPropagation: 'rshared' };
  const isOpen = linux.rootfsPropagation === 'rshared' || linux.rootfsPropagation === 'rslave';
  return (options.has('rslave') || options.has('slave')) && !isOpen
    ? { ...linux, rootfsPropagation: 'rslave' }
    : linux;
}

function amendHooks(before: OciHooks, added: Hooks): OciHooks {
  const after: { -readonly [K in keyof OciHooks]: OciHooks[K] } = { ...before };
  for (const kind of HOOK_KINDS) {
    if (added[kind].length === 0) continue;
    const hooks = added[kind].map(({ path, args, env, timeout }) => ({
      path,
      args,
      env,
      ...(timeout === undefined ? {} : { timeout: Number(timeout.value) }),
    }));
    after[kind] = [...(before[kind] ?? []), ...hooks];
  }
  return after;
}

const NAMESPACES: ReadonlySet<string> = new Set<NamespaceType>([
  'mount',
  'pid',
  'network',
  'ipc',
  'uts',
  'cgroup',
  'user',
]);

function amendNamespaces(
  before: readonly OciNamespace[],
  changes: readonly LinuxNamespace[],
  plugin: string,
): readonly OciNamespace[] {
  const after = new Map(before.map((namespace) => [namespace.type as string, namespace]));
  for (const { type, path } of changes) {
    const { key, isRemoval } = unmarked(type);
    if (!NAMESPACES.has(key))
      fail('invalidRequest', `nri plugin ${plugin}: set namespace ${key}: no such type`, { subject: plugin });
    if (isRemoval) after.delete(key);
    else after.set(key, { type: key as NamespaceType, ...(path === '' ? {} : { path }) });
  }
  return [...after.values()];
}

function amendDevices(
  linux: OciLinux,
  changes: readonly LinuxDevice[],
  plugin: string,
): Pick<OciLinux, 'devices' | 'resources'> {
  const touched = new Set(changes.map(({ path }) => unmarked(path).key));
  const added = changes
    .filter(({ path }) => !unmarked(path).isRemoval)
    .map((device) => deviceOf(device, plugin));
  return {
    devices: [...linux.devices.filter(({ path }) => !touched.has(path)), ...added],
    resources: withDeviceRules(linux, changes),
  };
}

function withDeviceRules(linux: OciLinux, changes: readonly LinuxDevice[]): OciLinux['resources'] {
  const rules = changes
    // a FIFO has no device numbers, so the device cgroup has no rule for it
    .filter(({ path, type }) => !unmarked(path).isRemoval && type !== 'p')
    .map(({ type, major, minor, fileMode }): OciDeviceRule => ({
      allow: true,
      type: type === 'b' ? 'b' : 'c',
      major: Number(major),
      minor: Number(minor),
      access: accessOf(type, fileMode?.value),
    }));
  return rules.length === 0
    ? linux.resources
    : { ...linux.resources, devices: [...linux.resources.devices, ...rules] };
}

const READ_BITS = 0o444;
const WRITE_BITS = 0o222;

/**
 * The access that the file mode grants; without a mode, read and write. For a block device also mknod (nri,
 * pkg/api/device.go).
 */
function accessOf(type: string, mode: number | undefined): string {
  const can = (bits: number): boolean => mode === undefined || (mode & bits) !== 0;
  return `${can(READ_BITS) ? 'r' : ''}${can(WRITE_BITS) ? 'w' : ''}${type === 'b' ? 'm' : ''}`;
}

const DEFAULT_MODE = 0o666;

function deviceOf({ path, type, major, minor, fileMode, uid, gid }: LinuxDevice, plugin: string): OciDevice {
  if (type !== 'c' && type !== 'b' && type !== 'p')
    fail('invalidRequest', `nri plugin ${plugin}: add device ${path}: invalid type ${type}: use c, b or p`, {
      subject: plugin,
    });
  return {
    path,
    type,
    major: Number(major),
    minor: Number(minor),
    fileMode: fileMode?.value ?? DEFAULT_MODE,
    uid: uid?.value ?? 0,
    gid: gid?.value ?? 0,
  };
}
