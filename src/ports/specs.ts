/**
 * What a client requests, parsed once at the edge into types that can't hold an invalid value. Plain data:
 * contexts, journal and drivers take it as it is. CRI's int64 are bigint; where "unset" matters, CRI's 0 is
 * undefined here.
 */
import type { ContainerId, Digest, ImageId, SandboxId } from '../base/ids.ts';

export type StringMap = Readonly<Record<string, string>>;

/** The whole tuple is the name of a sandbox. */
export interface SandboxKey {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly attempt: number;
}

export interface PortMapping {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly containerPort: number;
  readonly hostPort: number;
  /** Empty for all addresses. */
  readonly hostIp: string;
}

export interface DnsConfig {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export interface Sysctl {
  /** With dots or slashes, as sysctl(8) takes it: `net.ipv4.ip_forward`, `net/ipv4/conf/eth0.1/forwarding`. */
  readonly name: string;
  readonly value: string;
}

export interface SeccompChoice {
  readonly type: 'runtimeDefault' | 'unconfined' | 'localhost';
  /** Absolute path, for `localhost` only; otherwise empty. */
  readonly path: string;
}

/** Parts of an SELinux label that a request names; empty parts take the machine's default. */
export interface SelinuxOptions {
  readonly user: string;
  readonly role: string;
  readonly type: string;
  readonly level: string;
}

/** Whole labels, such as `system_u:system_r:container_t:s0:c1,c2`. */
export interface SelinuxLabels {
  /** Of the processes. */
  readonly process: string;
  /** Label of the files that are created or relabelled for them. */
  readonly mount: string;
}

/** The machine's default labels for containers. */
export interface MachineLabels extends SelinuxLabels {
  /** Of processes of privileged containers; absent where the policy has no such label. */
  readonly privileged?: string | undefined;
}

export type PidMode = 'pod' | 'container' | 'node' | 'target';

/**
 * A range of a user namespace: `length` ids from `containerId` on map to those from `hostId` on
 * (user_namespaces(7)).
 */
export interface IdMapping {
  readonly containerId: number;
  readonly hostId: number;
  readonly length: number;
}

/** One mapping for users and one for groups. Both map the container's id 0 and have the same length. */
export interface IdMappings {
  readonly uids: IdMapping;
  readonly gids: IdMapping;
}

export interface Namespaces {
  readonly network: 'pod' | 'node';
  readonly pid: PidMode;
  readonly ipc: 'pod' | 'node';
  /** The pod's own user namespace; absent for the host's. */
  readonly user?: IdMappings | undefined;
  /** For pid `target`: the container whose PID namespace is joined. */
  readonly targetId: ContainerId | undefined;
}

export interface UserChoice {
  readonly runAsUser: number | undefined;
  readonly runAsUsername: string;
  readonly runAsGroup: number | undefined;
  readonly supplementalGroups: readonly number[];
  readonly supplementalGroupsPolicy: 'merge' | 'strict';
}

/** The handler that a sandbox was admitted with. */
export interface AdmittedHandler {
  readonly name: string;
  /** The same as `HandlerStatus.needsPause`. */
  readonly needsPause: boolean;
}

export interface SandboxSpec {
  readonly key: SandboxKey;
  /** Empty: the host's name on the host network, otherwise the first 12 digits of the sandbox's id. */
  readonly hostname: string;
  /** Absolute; empty for the runtime's default. */
  readonly logDirectory: string;
  /** Undefined: a copy of the host's resolv.conf. */
  readonly dns: DnsConfig | undefined;
  readonly portMappings: readonly PortMapping[];
  readonly labels: StringMap;
  readonly annotations: StringMap;
  /** Name of the runtime handler; empty for the default. */
  readonly handler: string;
  /** As the kubelet gave it, without trailing slash; empty for the runtime's default parent. */
  readonly cgroupParent: string;
  readonly sysctls: readonly Sysctl[];
  readonly namespaces: Namespaces;
  readonly privileged: boolean;
  /** User of the pause process, where there is one. */
  readonly user: UserChoice;
  readonly readonlyRootfs: boolean;
  readonly seccomp: SeccompChoice;
  /**
   * Sum of what the pod's containers may use; a virtual machine is sized by it. Absent when the request does
   * not state it.
   */
  readonly resources?: Resources | undefined;
  /**
   * What the pod costs besides its containers (RuntimeClass overhead), for plugins. Absent when the request
   * does not state it.
   */
  readonly overhead?: Resources | undefined;
  /** Absent for none, and where the machine has no SELinux. */
  readonly selinux?: SelinuxOptions | undefined;
  /**
   * Assigned at admission where the machine has SELinux; the pair of categories belongs to this pod alone.
   * Absent in a request.
   */
  readonly selinuxLabels?: SelinuxLabels | undefined;
  /**
   * What its handler was at admission: a reload may point the empty name at another handler, or remove the
   * handler. Absent in a request, and in records of earlier versions.
   */
  readonly runtime?: AdmittedHandler | undefined;
}

/** Options of a bind mount besides read-only (KEP-5855). */
export type MountOption = 'noexec' | 'nodev' | 'nosuid';

/** An image mounted as a directory (KEP-4639). */
export interface ImageVolume {
  readonly id: ImageId;
  /** Relative path within the image; empty for all of it. */
  readonly subPath: string;
}

export interface Mount {
  readonly containerPath: string;
  /** Empty for an image. */
  readonly hostPath: string;
  readonly readonly: boolean;
  readonly recursiveReadOnly: boolean;
  readonly propagation: 'private' | 'hostToContainer' | 'bidirectional';
  readonly selinuxRelabel: boolean;
  /** The mount shows the source's files with these owners; absent for their own. */
  readonly idMappings?: IdMappings | undefined;
  /** Sorted by name; absent for none. */
  readonly options?: readonly MountOption[] | undefined;
  /** Set instead of a host path. */
  readonly image?: ImageVolume | undefined;
}

export interface Device {
  readonly containerPath: string;
  readonly hostPath: string;
  /** A subset of `rwm`. */
  readonly permissions: string;
}

/** cgroup limits; undefined means that the client did not set them. */
export interface Resources {
  readonly cpuPeriod: bigint | undefined;
  readonly cpuQuota: bigint | undefined;
  readonly cpuShares: bigint | undefined;
  readonly memoryLimitBytes: bigint | undefined;
  readonly memorySwapLimitBytes: bigint | undefined;
  readonly oomScoreAdj: number;
  readonly cpusetCpus: string;
  readonly cpusetMems: string;
  readonly hugepageLimits: readonly { readonly pageSize: string; readonly limitBytes: bigint }[];
  readonly unified: StringMap;
}

export interface Capabilities {
  /** Upper case with the CAP_ prefix, or the one word `ALL`. */
  readonly add: readonly string[];
  readonly drop: readonly string[];
  readonly addAmbient: readonly string[];
}

export interface ContainerSecurity {
  readonly privileged: boolean;
  readonly capabilities: Capabilities;
  readonly namespaces: Namespaces;
  readonly user: UserChoice;
  readonly readonlyRootfs: boolean;
  readonly noNewPrivs: boolean;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly seccomp: SeccompChoice;
  /** AppArmor profile; empty for none. */
  readonly apparmorProfile: string;
}

/** The name of a container: sandbox, name and attempt together. */
export interface ContainerKey {
  readonly sandboxId: SandboxId;
  readonly name: string;
  readonly attempt: number;
}

export interface EnvVar {
  readonly name: string;
  readonly value: string;
}

/**
 * What a container is restored from. It determines the state of the processes and nothing outside of them
 * (S08).
 */
export interface RestoreSource {
  /** Absolute path of an archive, or the single layer of an image that holds the same content. */
  readonly from: { readonly archive: string } | { readonly image: ImageId; readonly layer: Digest };
  /**
   * Digest of the archive's descriptions (`sha256:…`): the archive that is restored must be the one that was
   * checked.
   */
  readonly digest: string;
}

/**
 * What runs, with its values; each of them may hold secrets. The request and the bundle (on a tmpfs) hold it,
 * and no record does (S91).
 */
export interface Program {
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly env: readonly EnvVar[];
}

/**
 * The program is absent in what the journal returns: such a container was created already, or never will be.
 */
export interface ContainerSpec extends Partial<Program> {
  readonly key: ContainerKey;
  /** Absent for a container that begins at its program's start. */
  readonly restore?: RestoreSource | undefined;
  /** ImageSpec.image as given; reported back as it is. */
  readonly imageRequested: string;
  /** ImageSpec.user_specified_image as given; reported back as it is. */
  readonly imageUserSpecified: string;
  /** The image that the request named, resolved by the actors. */
  readonly imageId: ImageId;
  readonly workingDir: string;
  readonly mounts: readonly Mount[];
  readonly devices: readonly Device[];
  /**
   * Qualified names of the Container Device Interface (`vendor.com/class=name`), each once; absent for none.
   */
  readonly cdiDevices?: readonly string[];
  readonly labels: StringMap;
  readonly annotations: StringMap;
  /** Relative to the sandbox's log directory; empty for no log. */
  readonly logPath: string;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  readonly resources: Resources;
  readonly security: ContainerSecurity;
  /** The same as in `SandboxSpec`. */
  readonly selinux?: SelinuxOptions | undefined;
  /**
   * Assigned at admission: the pod's labels with the parts that the container names. Absent in a request, and
   * without SELinux.
   */
  readonly selinuxLabels?: SelinuxLabels | undefined;
  /** Such as `SIGTERM` or `SIGRTMIN+3`; empty for the image's, or else SIGTERM. */
  readonly stopSignal: string;
}

/**
 * A spec as the journal may hold it. The type excludes a spec with a program, so that the compiler keeps
 * secrets out.
 */
export type RecordedSpec = Omit<ContainerSpec, keyof Program> & { readonly [Part in keyof Program]?: never };

/** What an image's config says, parsed and bounded. */
export interface ImageConfig {
  readonly user: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly stopSignal: string;
  /** Sorted. */
  readonly volumes: readonly string[];
  readonly labels: StringMap;
  readonly architecture: string;
  readonly os: string;
}

/** A layer as the image's id determines it: no manifest can change these fields. */
export interface ImageLayer {
  /** Digest of the uncompressed tar: the key in the layer store. */
  readonly diffId: Digest;
  /**
   * For a layer of an artifact: the blob is one file, stored at this plain relative path. Absent for a tar
   * archive.
   */
  readonly file?: string;
}

/** A layer as a manifest offers it. */
export interface Layer extends ImageLayer {
  /** Digest of the blob as the registry serves it. */
  readonly digest: Digest;
  readonly mediaType: string;
  /** Of the blob, bytes: the manifest's claim, until the blob was received. */
  readonly sizeBytes: number;
}

/**
 * What one manifest says of an image. Anyone may publish a manifest that names the config of another's image, so this
 * counts for the references that brought the manifest, and never for the image's id (S86).
 */
export interface ImageSource {
  /** Normalised repository with the digest that was pulled: one of the image's `repoDigests`. */
  readonly repoDigest: string;
  /** Tags that led to it when they were pulled last: of the image's `repoTags`, each at one source. */
  readonly repoTags: readonly string[];
  /** Name of the container whose checkpoint the image is; left out for an image of programs. */
  readonly checkpointOf?: string;
}

/** An image present on this node. */
export interface ImageRecord {
  readonly id: ImageId;
  /** Normalised, with tag: `docker.io/library/busybox:1.36`. */
  readonly repoTags: readonly string[];
  /** Normalised, with digest. */
  readonly repoDigests: readonly string[];
  /** Lowest first. */
  readonly layers: readonly ImageLayer[];
  readonly config: ImageConfig;
  /** Config and blobs, bytes, as they were received. */
  readonly sizeBytes: number;
  readonly pulledAtNs: bigint;
  /** In the order in which they came; the journal's records of older versions have none. */
  readonly sources?: readonly ImageSource[];
}

/** What a container keeps of its image, so that it is whole without the image's own record. */
export interface ImageUse {
  readonly id: ImageId;
  /** A repository with digest where the image has one, else its id: `ContainerStatus.image_ref`. */
  readonly ref: string;
  /** Lowest first, by diff-id. */
  readonly layers: readonly Digest[];
  /** Images that it mounts as volumes, each once; left out for none. */
  readonly volumes?: readonly VolumeUse[];
}

/** An image as volume: the inputs of its mount. */
export interface VolumeUse {
  readonly id: ImageId;
  /** Lowest first, by diff-id. */
  readonly layers: readonly Digest[];
}
