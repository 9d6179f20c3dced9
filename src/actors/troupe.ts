/**
 * The interface to all actors that `cri/` calls. The actors carry out commands; queries are answered from the directory
 * and the ledger without waiting.
 */
import type { ContainerId, ImageId, SandboxId } from '../base/ids.ts';
import type { Call } from './directory/ask.ts';
import type { PodCheckpointRequest } from './commands/checkpoint-sandbox.ts';
import type { RestoreRequest } from './commands/describe-checkpoint.ts';
import type { CheckpointTarget } from './commands/run-checkpoint.ts';
import type { Directory } from './directory/directory.ts';
import type { Activity } from './effects/activity.ts';
import type { LayerProgress } from './image-pull/progress.ts';
import type { PullRequest } from './images/pull-image.ts';
import type { KeptContent } from './images/keepers.ts';
import type { CheckpointFacts } from '../ports/checkpoint.ts';
import type { NetworkStatus } from '../ports/network.ts';
import type { NriPlugin } from '../ports/nri.ts';
import type { ExecResult, HandlerStatus } from '../ports/runtime.ts';
import type { ContainerSpec, ImageRecord, ImageSource, Resources, SandboxSpec } from '../ports/specs.ts';
import type { StatsPort, WrittenUsage } from '../ports/stats.ts';
import type { FilesystemUsage } from '../ports/storage.ts';

export interface Troupe {
  readonly directory: Directory;
  readonly activity: Activity;
  /** Recovers everything in the ledger. Commands are refused with `notReady` until it resolves. */
  start(): Promise<void>;
  /** Calls the listener when a supervisor or the janitor crashed: nothing can be served until the daemon restarts. */
  onFailed(listener: (reason: string) => void): void;
  /** Why commands are not served, such as `recovering` or `draining`; undefined while they are. */
  notReadyReason(): string | undefined;
  /** Whether the directory has all pods and containers of before the start: what is missing there does not exist. */
  hasRecovered(): boolean;
  /** Why nothing can be recorded, such as a read-only disk. Calls are accepted all the same: a stop needs no record. */
  writeRefusal(): string | undefined;
  /** Refuses new commands and waits, bounded, for those under way. Containers keep running. */
  drain(): Promise<void>;

  /** Runs a sandbox, or joins the one of this name that is being made; returns the same id while it is ready. */
  runSandbox(spec: SandboxSpec, call: Call): Promise<SandboxId>;
  /** Succeeds for unknown ids. */
  stopSandbox(id: SandboxId, call: Call): Promise<void>;
  /** Succeeds for unknown ids. */
  removeSandbox(id: SandboxId, call: Call): Promise<void>;

  createContainer(spec: ContainerSpec, call: Call): Promise<ContainerId>;
  startContainer(id: ContainerId, call: Call): Promise<void>;
  /** Sends KILL `graceMs` milliseconds after the stop signal. Succeeds for unknown ids. */
  stopContainer(id: ContainerId, graceMs: number, call: Call): Promise<void>;
  /** Succeeds for unknown ids. */
  removeContainer(id: ContainerId, call: Call): Promise<void>;
  /** Limits that `change` leaves unset stay as they are. */
  updateContainer(id: ContainerId, change: Resources, call: Call): Promise<void>;
  /** Informs the NRI plugins of limits that the client sets on the pod's cgroup. */
  updateSandbox(
    id: SandboxId,
    wanted: { readonly overhead: Resources; readonly resources: Resources },
    call: Call,
  ): Promise<void>;
  /** `timeoutMs` 0: only the call's deadline bounds it. */
  execSync(id: ContainerId, argv: readonly string[], timeoutMs: number, call: Call): Promise<ExecResult>;
  reopenLog(id: ContainerId, call: Call): Promise<void>;
  /** Writes an archive of a running container, which keeps running. `timeoutMs` 0: bounded by `checkpointMs`. */
  checkpointContainer(wanted: CheckpointTarget, timeoutMs: number, call: Call): Promise<void>;
  /** Writes archives of several containers of a pod, all of one moment, into an empty directory. */
  checkpointSandbox(id: SandboxId, request: PodCheckpointRequest, call: Call): Promise<void>;
  /** Describes a checkpoint from which a container is to be restored. */
  describeCheckpoint(request: RestoreRequest, call: Call): Promise<CheckpointFacts>;

  /** Pulls an image and returns its id. */
  pullImage(request: PullRequest, call: Call): Promise<ImageId>;
  /** Succeeds when no image has the name. */
  removeImage(name: string, call: Call): Promise<void>;
  /** By id, unique id prefix, tag or digest. */
  findImage(name: string): ImageRecord | undefined;
  /** Whether the name is a prefix of several images' ids and names none of them otherwise: `findImage` finds none. */
  isAmbiguousImage(name: string): boolean;
  /** The manifest through which this reference pulled the image; undefined for an id. */
  sourceOf(image: ImageRecord, reference: string): ImageSource | undefined;
  images(): readonly ImageRecord[];
  /** Whether the kubelet's garbage collection must keep the image. Another function when the configuration changes. */
  readonly isPinned: (image: ImageRecord) => boolean;
  /** The users of each image and layer. */
  keptImages(): KeptContent;
  /** The progress of a pull by its address; empty when it is not under way. */
  pullLayers(address: string): readonly LayerProgress[];
  imageUsage(call: Call): Promise<{ readonly images: FilesystemUsage; readonly containers: FilesystemUsage }>;

  /** Readings of the kernel's counters, without waiting. */
  readonly stats: Pick<StatsPort, 'container' | 'details' | 'sandbox' | 'interfaces'>;
  /** What a container wrote to its root file system; undefined when it cannot be counted in time. */
  written(id: ContainerId, call: Call): Promise<WrittenUsage | undefined>;
  /** Wall clock for the timestamps of readings, in nanoseconds. */
  nowNs(): bigint;

  networkStatus(): NetworkStatus;
  nriPlugins(): readonly NriPlugin[];
  handlers(): readonly HandlerStatus[];
}
