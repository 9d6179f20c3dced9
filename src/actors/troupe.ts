/**
 * The whole cast behind one object: what `cri/` calls. Commands are actors' business,
 * queries answer from the directory and the ledger and wait for nothing.
 */
import type { ContainerId, ImageId, SandboxId } from '../base/ids.ts';
import type { Call } from './directory/ask.ts';
import type { PodWish, RestoreWish, Wanted } from './commands/checkpoint-commands.ts';
import type { Directory } from './directory/directory.ts';
import type { Activity } from './effects/activity.ts';
import type { LayerProgress } from './image-pull/progress.ts';
import type { PullWish } from './images/image-commands.ts';
import type { Kept } from './images/keepers.ts';
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
  /** Recovers what the ledger knows; commands are refused with `notReady` before it has settled. */
  start(): Promise<void>;
  /** Tells when a supervisor or the janitor itself crashed and nothing can be served any more: a restart recovers. */
  onFailed(listener: (reason: string) => void): void;
  /** Undefined once commands are served; otherwise why not (`recovering`, `draining`). */
  notReadyReason(): string | undefined;
  /** Why nothing can be recorded on this node (a read-only disk); calls are taken all the same: a stop needs no record. */
  writeRefusal(): string | undefined;
  /** Ends taking commands and waits, bounded, for what is under way. Containers are left running. */
  drain(): Promise<void>;

  /** Joins the sandbox of this name that is on its way; the same id again while it is ready. */
  runSandbox(spec: SandboxSpec, call: Call): Promise<SandboxId>;
  /** Success for unknown ids. */
  stopSandbox(id: SandboxId, call: Call): Promise<void>;
  /** Success for unknown ids. */
  removeSandbox(id: SandboxId, call: Call): Promise<void>;

  createContainer(spec: ContainerSpec, call: Call): Promise<ContainerId>;
  startContainer(id: ContainerId, call: Call): Promise<void>;
  /** `graceMs` until KILL; success for unknown ids. */
  stopContainer(id: ContainerId, graceMs: number, call: Call): Promise<void>;
  /** Success for unknown ids. */
  removeContainer(id: ContainerId, call: Call): Promise<void>;
  /** What `change` leaves unset stays as it is. */
  updateContainer(id: ContainerId, change: Resources, call: Call): Promise<void>;
  /** Tells plugins of what the client has set on the pod's own cgroup. */
  updateSandbox(
    id: SandboxId,
    wanted: { readonly overhead: Resources; readonly resources: Resources },
    call: Call,
  ): Promise<void>;
  /** `timeoutMs` 0: only the call's own deadline. */
  execSync(id: ContainerId, argv: readonly string[], timeoutMs: number, call: Call): Promise<ExecResult>;
  reopenLog(id: ContainerId, call: Call): Promise<void>;
  /** An archive of a running container, which runs on; `timeoutMs` 0: our own bound. */
  checkpointContainer(wanted: Wanted, timeoutMs: number, call: Call): Promise<void>;
  /** An archive of each of these containers of a pod, all of one moment, in a directory that is empty. */
  checkpointSandbox(id: SandboxId, wish: PodWish, call: Call): Promise<void>;
  /** What a checkpoint says that a container is to be made of. */
  describeCheckpoint(wish: RestoreWish, call: Call): Promise<CheckpointFacts>;

  /** The id of the image that is here now. */
  pullImage(wish: PullWish, call: Call): Promise<ImageId>;
  /** Success when there is no such image. */
  removeImage(name: string, call: Call): Promise<void>;
  /** By id, unique id prefix, tag or digest. */
  findImage(name: string): ImageRecord | undefined;
  /** The manifest that the reference means among those that brought the image; undefined for an id. */
  sourceOf(image: ImageRecord, reference: string): ImageSource | undefined;
  images(): readonly ImageRecord[];
  /** The kubelet's collection must leave it. */
  isPinned(image: ImageRecord): boolean;
  /** Who has a use for which image and layer. */
  keptImages(): Kept;
  /** How far a pull is, by its address; empty for one that is not under way. */
  pullLayers(address: string): readonly LayerProgress[];
  imageUsage(call: Call): Promise<{ readonly images: FilesystemUsage; readonly containers: FilesystemUsage }>;

  /** Readings of the kernel's counters: they wait for nothing. */
  readonly stats: Pick<StatsPort, 'container' | 'details' | 'sandbox' | 'interfaces'>;
  /** What a container wrote; undefined when that can't be told in time. */
  written(id: ContainerId, call: Call): Promise<WrittenUsage | undefined>;
  /** Wall clock of the readings. */
  nowNs(): bigint;

  networkStatus(): NetworkStatus;
  nriPlugins(): readonly NriPlugin[];
  handlers(): readonly HandlerStatus[];
}
