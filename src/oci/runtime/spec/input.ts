/** The generator's input: the request, and all facts of the host that matter, so that the generator is pure. */
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
import type { SandboxFiles } from '../../../host/sandbox/layout.ts';
import type { ContainerSpec, ImageConfig, Mount, SandboxSpec } from '../../../ports/specs.ts';
import type { OciDevice, OciRlimit, OciSeccomp } from './types.ts';

export type KernelArch = 'x64' | 'arm64';

/** Read once at the daemon's start. */
export interface SpecHost {
  readonly arch: KernelArch;
  /** Of programs that an x86-64 kernel may run besides its own, those that this one does not. */
  readonly refusedPrograms: readonly ('ia32' | 'x32')[];
  /** Release of the kernel, such as `6.18.0`, for profiles with a minKernel. */
  readonly kernelRelease: string;
  /**
   * The daemon's bounding set, names with CAP_, in the kernel's order: no container can get more.
   */
  readonly boundingCapabilities: readonly string[];
  readonly cgroupVersion: 1 | 2;
  /** Whether memory+swap can be limited (v1 memory.memsw.*, v2 memory.swap.max). */
  readonly swapLimits: boolean;
  /**
   * Page sizes with a usable hugetlb controller, in the kernel's form such as `2MB`; empty without the controller.
   */
  readonly hugepageSizes: readonly string[];
  /** The daemon's hard limit of open files; without CAP_SYS_RESOURCE no container gets more. */
  readonly openFilesHard: number;
  /**
   * Configured rlimits of every container, none above the daemon's own without CAP_SYS_RESOURCE; absent if not
   * configured.
   */
  readonly rlimits?: readonly OciRlimit[];
  /** The daemon's oom_score_adj. */
  readonly oomScoreAdj: number;
  /** Whether a value below the daemon's can be set (CAP_SYS_RESOURCE). */
  readonly oomScoreAdjCanSink: boolean;
  /** The host has a mount of POSIX message queues at /dev/mqueue. */
  readonly messageQueues?: boolean;
  /** The host's name, for pods on the host network. */
  readonly hostname: string;
}

/** Features of the handler that the document depends on. */
export interface SpecHandler {
  readonly recursiveReadOnlyMounts: boolean;
  /** Annotations of the pod that its runtime gets: whole names, or prefixes that end with `*`. Empty by default. */
  readonly allowedAnnotations?: readonly string[];
  /** Values of annotations that the pod does not set. */
  readonly defaultAnnotations?: Readonly<Record<string, string>>;
  /** A privileged container gets its capabilities and mounts, but no devices of the host (Kata). */
  readonly privilegedWithoutHostDevices?: boolean;
  /** The runtime has a sandbox for each container; absent for no. */
  readonly ownSandbox?: boolean;
  /** The processes run on another kernel than the host's; absent for no. */
  readonly ownKernel?: boolean;
  /** The built-in profile may be written in its short form (seccomp-short.ts); absent for no. */
  readonly shortSeccomp?: boolean;
  /** Profile used for RuntimeDefault; empty or absent for the built-in one. */
  readonly seccompProfile?: string;
}

/** Ids of the user of the request or image. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  /** The primary group first, then ascending, without duplicates. */
  readonly additionalGids: readonly number[];
  /** From the image's passwd; `/` without an entry. */
  readonly home: string;
}

/** A CRI mount whose source was resolved. */
export interface ResolvedMount {
  readonly mount: Mount;
  /** The source with symbolic links resolved. */
  readonly source: string;
  /** Root file systems of containers are below the source: their unmounts must propagate into this container. */
  readonly holdsOurs?: boolean;
}

/** A device node of the host as it will be in the container. */
export interface ResolvedDevice extends OciDevice {
  /** A subset of `rwm`; the node is made even if empty. */
  readonly permissions: string;
}

export interface SpecPaths {
  readonly rootfs: string;
  readonly files: SandboxFiles;
  /** The pod's pinned namespaces; undefined for a namespace of the host. */
  readonly pins: {
    readonly net: string | undefined;
    readonly ipc: string | undefined;
    readonly uts: string | undefined;
    readonly user?: string | undefined;
  };
  /** `/proc/<pid>/ns/pid` of the process to join; undefined for none. */
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
  /** The requested devices; for a privileged container also all of the host's. */
  readonly devices: readonly ResolvedDevice[];
  /** The parsed profile of a file: a `localhost` profile or the handler's RuntimeDefault; otherwise undefined. */
  readonly localSeccomp: OciSeccomp | undefined;
  readonly paths: SpecPaths;
  readonly host: SpecHost;
  readonly handler: SpecHandler;
}
