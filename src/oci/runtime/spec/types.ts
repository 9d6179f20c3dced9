/**
 * The part of the OCI runtime specification (config.json) that troupe writes, with the document's field names. Fields
 * newer than 1.0.2 are written only at a plugin's request (src/nri); a runtime that does not know them ignores them.
 */

export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
  readonly uidMappings?: readonly OciIdMapping[];
  readonly gidMappings?: readonly OciIdMapping[];
}

export interface OciIdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

export interface OciCapabilities {
  readonly bounding: readonly string[];
  readonly effective: readonly string[];
  readonly permitted: readonly string[];
  readonly inheritable: readonly string[];
  readonly ambient: readonly string[];
}

export interface OciUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

/** A bigint where a number would lose digits: RLIM_INFINITY is 2⁶⁴−1. */
export interface OciRlimit {
  readonly type: string;
  readonly soft: number | bigint;
  readonly hard: number | bigint;
}

export interface OciProcess {
  readonly terminal: boolean;
  readonly user: OciUser;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly capabilities: OciCapabilities;
  readonly rlimits: readonly OciRlimit[];
  readonly noNewPrivileges?: true;
  readonly oomScoreAdj: number;
  readonly apparmorProfile?: string;
  readonly selinuxLabel?: string;
  readonly ioPriority?: { readonly class: string; readonly priority: number };
  readonly scheduler?: OciScheduler;
}

export interface OciScheduler {
  readonly policy: string;
  readonly nice?: number;
  readonly priority?: number;
  readonly flags?: readonly string[];
  readonly runtime?: bigint;
  readonly deadline?: bigint;
  readonly period?: bigint;
}

export interface OciHook {
  readonly path: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  /** In seconds. */
  readonly timeout?: number;
}

export const HOOK_KINDS = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
] as const;
export type HookKind = (typeof HOOK_KINDS)[number];
export type OciHooks = Readonly<Partial<Record<HookKind, readonly OciHook[]>>>;

export type NamespaceType = 'mount' | 'pid' | 'network' | 'ipc' | 'uts' | 'cgroup' | 'user';

export interface OciNamespace {
  readonly type: NamespaceType;
  readonly path?: string;
}

export interface OciDevice {
  readonly path: string;
  readonly type: 'c' | 'b' | 'p';
  readonly major: number;
  readonly minor: number;
  /** Permission bits only. */
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface OciDeviceRule {
  readonly allow: boolean;
  readonly type?: 'a' | 'c' | 'b';
  readonly major?: number;
  readonly minor?: number;
  readonly access: string;
}

export type SeccompOperator =
  | 'SCMP_CMP_NE'
  | 'SCMP_CMP_LT'
  | 'SCMP_CMP_LE'
  | 'SCMP_CMP_EQ'
  | 'SCMP_CMP_GE'
  | 'SCMP_CMP_GT'
  | 'SCMP_CMP_MASKED_EQ';

export interface SeccompArg {
  readonly index: number;
  readonly value: bigint;
  readonly valueTwo?: bigint;
  readonly op: SeccompOperator;
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly SeccompArg[];
}

export interface OciSeccomp {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures: readonly string[];
  readonly flags?: readonly string[];
  readonly listenerPath?: string;
  readonly listenerMetadata?: string;
  readonly syscalls: readonly SeccompRule[];
}

export interface OciResources extends OciLimits {
  readonly devices: readonly OciDeviceRule[];
}

export interface OciLimits {
  readonly memory?: {
    readonly limit?: bigint;
    readonly swap?: bigint;
    readonly reservation?: bigint;
    readonly kernel?: bigint;
    readonly kernelTCP?: bigint;
    readonly swappiness?: bigint;
    readonly disableOOMKiller?: boolean;
    readonly useHierarchy?: boolean;
  };
  readonly cpu?: {
    readonly shares?: bigint;
    readonly quota?: bigint;
    readonly period?: bigint;
    readonly cpus?: string;
    readonly mems?: string;
    readonly realtimeRuntime?: bigint;
    readonly realtimePeriod?: bigint;
  };
  readonly pids?: { readonly limit: bigint };
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: bigint }[];
  readonly unified?: Readonly<Record<string, string>>;
}

/** Resource Director Technology (config-linux.md, intelRdt). */
export interface OciIntelRdt {
  readonly closID?: string;
  readonly l3CacheSchema?: string;
  readonly memBwSchema?: string;
  readonly schemata?: readonly string[];
  readonly enableMonitoring?: boolean;
  readonly enableCMT?: boolean;
  readonly enableMBM?: boolean;
}

export interface OciLinux {
  readonly namespaces: readonly OciNamespace[];
  readonly uidMappings?: readonly OciIdMapping[];
  readonly gidMappings?: readonly OciIdMapping[];
  readonly devices: readonly OciDevice[];
  readonly cgroupsPath: string;
  readonly resources: OciResources;
  readonly rootfsPropagation?: string;
  /** SELinux context of the runtime's mounts. */
  readonly mountLabel?: string;
  readonly seccomp?: OciSeccomp;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly sysctl?: Readonly<Record<string, string>>;
  readonly netDevices?: Readonly<Record<string, { readonly name?: string }>>;
  readonly intelRdt?: OciIntelRdt;
  readonly memoryPolicy?: {
    readonly mode: string;
    readonly nodes: string;
    readonly flags: readonly string[];
  };
}

export interface OciSpec {
  readonly ociVersion: string;
  readonly hostname?: string;
  readonly process: OciProcess;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly mounts: readonly OciMount[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly hooks?: OciHooks;
  readonly linux: OciLinux;
  /**
   * An extension of ours (OCI runtime spec, config.md, "Extensibility"): linux.seccomp is the short form, and whoever
   * runs the runtime's create or exec puts the outer filter of this version around it (outer-filter.ts). Not an
   * annotation, which a pod could set.
   */
  readonly troupeShortSeccomp?: number;
}

/**
 * The text of config.json. Integers above 2^53 (an int64 of the CRI) keep all digits: JSON.stringify does not support
 * bigint, and as a number 9223372036854775807 would be rounded to a value that Go refuses for int64.
 */
export function encodeSpec(spec: OciSpec | OciLimits): string {
  return JSON.stringify(
    spec,
    (_key, value: unknown) => (typeof value === 'bigint' ? rawInteger(value) : value),
    2,
  );
}

// in V8 since 11.4; TypeScript's library does not have it yet
const withRaw = JSON as typeof JSON & { rawJSON(text: string): object };

function rawInteger(value: bigint): object {
  return withRaw.rawJSON(value.toString());
}
