/** What the generator is told: the wish, and every fact of the host that decides, so that it can be pure. */
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
import type { SandboxFiles } from '../../../host/sandbox/layout.ts';
import type { ContainerSpec, ImageConfig, Mount, SandboxSpec } from '../../../ports/specs.ts';
import type { OciDevice, OciRlimit, OciSeccomp } from './types.ts';

export type KernelArch = 'x64' | 'arm64';

/** Probed once at start. */
export interface SpecHost {
  readonly arch: KernelArch;
  /** Release of the kernel, such as `6.18.0`, for profiles with a minKernel. */
  readonly kernelRelease: string;
  /** Our own bounding set, names with CAP_, in kernel order: nobody can be given more (features.md H1). */
  readonly boundingCapabilities: readonly string[];
  readonly cgroupVersion: 1 | 2;
  /** Whether memory+swap can be limited (v1 memory.memsw.*, v2 memory.swap.max). */
  readonly swapLimits: boolean;
  /** Page sizes with a usable hugetlb controller, in the kernel's form such as `2MB`; empty where there is none. */
  readonly hugepageSizes: readonly string[];
  /** Hard limit of open files that we inherited; without CAP_SYS_RESOURCE nobody gets more. */
  readonly openFilesHard: number;
  /** Limits of every container by configuration, none above what we inherited; left out for none. */
  readonly rlimits?: readonly OciRlimit[];
  /** Our own oom_score_adj. */
  readonly oomScoreAdj: number;
  /** Whether a value below our own can be set (CAP_SYS_RESOURCE). */
  readonly oomScoreAdjCanSink: boolean;
  /** The host has its POSIX message queues mounted at /dev/mqueue. */
  readonly messageQueues?: boolean;
  /** The host's name, for pods on the host network. */
  readonly hostname: string;
}

/** Features of the handler that decide. */
export interface SpecHandler {
  readonly recursiveReadOnlyMounts: boolean;
  /** Annotations of the pod that its runtime may see: whole names, or beginnings that end with `*`. None when left out. */
  readonly allowedAnnotations?: readonly string[];
  /** For names that the pod does not give. */
  readonly defaultAnnotations?: Readonly<Record<string, string>>;
  /** A privileged container gets the capabilities and mounts of one, but no devices of the host (Kata). */
  readonly privilegedWithoutHostDevices?: boolean;
  /** Profile that RuntimeDefault stands for; empty or left out for our own. */
  readonly seccompProfile?: string;
}

/** Numbers that the user of the image or of the request was resolved to. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  /** The primary group first, then ascending, no duplicates. */
  readonly additionalGids: readonly number[];
  /** From the image's passwd; `/` where it says nothing. */
  readonly home: string;
}

/** A CRI mount whose source was looked at. */
export interface ResolvedMount {
  readonly mount: Mount;
  /** The source with symlinks resolved. */
  readonly source: string;
  /** Root file systems of containers lie below: their unmounts must reach this container, too. */
  readonly holdsOurs?: boolean;
}

/** A device node of the host, as it shall be in the container. */
export interface ResolvedDevice extends OciDevice {
  /** A subset of `rwm`; the node is made in any case. */
  readonly permissions: string;
}

export interface SpecPaths {
  readonly rootfs: string;
  readonly files: SandboxFiles;
  /** The pod's pinned namespaces; undefined for one that is the host's. */
  readonly pins: {
    readonly net: string | undefined;
    readonly ipc: string | undefined;
    readonly uts: string | undefined;
    readonly user?: string | undefined;
  };
  /** `/proc/<pid>/ns/pid` of the process that is joined; undefined for none. */
  readonly pidNamespace: string | undefined;
  readonly cgroup: string;
}

export interface SpecInput {
  readonly id: ContainerId;
  readonly sandboxId: SandboxId;
  readonly spec: ContainerSpec;
  readonly sandbox: SandboxSpec;
  readonly image: ImageConfig;
  readonly user: ResolvedUser;
  readonly mounts: readonly ResolvedMount[];
  /** Requested ones; for a privileged container all of the host's, too. */
  readonly devices: readonly ResolvedDevice[];
  /** The parsed file of a `localhost` seccomp choice; undefined for the other choices. */
  readonly localSeccomp: OciSeccomp | undefined;
  readonly paths: SpecPaths;
  readonly host: SpecHost;
  readonly handler: SpecHandler;
}
