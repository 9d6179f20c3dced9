/** What must survive `kill -9`: facts of ours, never snapshots of a machine. */
import type { ContainerId, Digest, ImageId, SandboxId } from '../base/ids.ts';
import type { ImageRecord, ImageUse, RecordedSpec, Resources, SandboxSpec } from './specs.ts';

export interface SandboxIntent {
  readonly type: 'sandbox.intent';
  readonly id: SandboxId;
  readonly spec: SandboxSpec;
  readonly createdAtNs: bigint;
}
/** The commit: from here on the sandbox is ready and listed. */
export interface SandboxReady {
  readonly type: 'sandbox.ready';
  readonly id: SandboxId;
  /** First is the primary. */
  readonly ips: readonly string[];
  /** The process that holds the shared PID namespace; undefined where none is needed. */
  readonly pause: ProcessIdentity | undefined;
}
/** Stop was begun: after a crash the sandbox is notReady whatever is left of it. */
export interface SandboxStopping {
  readonly type: 'sandbox.stopping';
  readonly id: SandboxId;
}
export interface SandboxStopped {
  readonly type: 'sandbox.stopped';
  readonly id: SandboxId;
  /** Steps whose undo is still owed. */
  readonly owed: readonly string[];
}
export interface SandboxRemoved {
  readonly type: 'sandbox.removed';
  readonly id: SandboxId;
}
export interface ContainerIntent {
  readonly type: 'container.intent';
  readonly id: ContainerId;
  readonly spec: RecordedSpec;
  readonly image: ImageUse;
  readonly createdAtNs: bigint;
}
/** A process that cannot be mistaken for a later one with its pid: (pid, start time, boot). */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, clock ticks since boot. */
  readonly startTicks: bigint;
  readonly bootId: string;
}
/** What the container really got; echoed by ContainerStatus. */
export interface EffectiveContainer {
  readonly uid: number;
  readonly gid: number;
  readonly supplementalGroups: readonly number[];
  readonly stopSignal: string;
  /** Absolute; empty for none. */
  readonly logPath: string;
  /** In force, where plugins made others of those that were asked for. */
  readonly limits?: Resources | undefined;
}
/** The commit of a create. */
export interface ContainerCreated {
  readonly type: 'container.created';
  readonly id: ContainerId;
  /** Left out for one that is to be restored: it has no process before its start. */
  readonly init?: ProcessIdentity | undefined;
  readonly effective: EffectiveContainer;
}
export interface ContainerStarted {
  readonly type: 'container.started';
  readonly id: ContainerId;
  readonly startedAtNs: bigint;
  /** Of one that was restored. */
  readonly init?: ProcessIdentity | undefined;
}
/** A stop is under way; not synced. After a crash it goes on with what is left of the grace. */
export interface ContainerStopping {
  readonly type: 'container.stopping';
  readonly id: ContainerId;
  /** Wall clock, for whoever reads the journal. */
  readonly killAtNs: bigint;
  /** The same of `ClockPort.monoMs`, which counts: nobody sets that clock (F78). Missing in records of older versions. */
  readonly killAtMonoMs?: number;
}
/**
 * An update of limits is about to reach the kernel. After a crash it goes on: what the cgroup has by then is
 * one or the other, and the record must not say something else (F09).
 */
export interface ContainerUpdating {
  readonly type: 'container.updating';
  readonly id: ContainerId;
  /** Tells the caller's update from others. */
  readonly opId: string;
  /** All limits as they will be, not only those that change. */
  readonly resources: Resources;
}
/** The limits that the kernel has now; ends the update that was begun, also one that was undone. */
export interface ContainerUpdated {
  readonly type: 'container.updated';
  readonly id: ContainerId;
  readonly resources: Resources;
}
export interface ExitFact {
  readonly exitCode: number;
  readonly finishedAtNs: bigint;
  readonly oomKilled: boolean;
  /** `Completed`, `Error`, `OOMKilled`, `StartError`, `Unknown`, … */
  readonly reason: string;
  readonly message: string;
  readonly observedBy: 'exitFile' | 'process' | 'recovery' | 'start';
}
export interface ContainerExited {
  readonly type: 'container.exited';
  readonly id: ContainerId;
  readonly exit: ExitFact;
  /** Undefined when it never ran. */
  readonly startedAtNs: bigint | undefined;
}
export interface ContainerRemoved {
  readonly type: 'container.removed';
  readonly id: ContainerId;
}
/** Present in whole, with these names; replaces an earlier record of the same id. */
export interface ImagePresent {
  readonly type: 'image.present';
  readonly image: ImageRecord;
}
/**
 * A pull is about to fetch these layers. Until the image is present or the pull is given up, what is there of them is
 * kept for the next try, over a death of the daemon as well (F07). Not synced: without it they are fetched again.
 */
export interface ImageFetching {
  readonly type: 'image.fetching';
  readonly id: ImageId;
  /** The manifest whose blobs they are, by repository and digest; missing in records of older versions. */
  readonly source?: string;
  /** Kubernetes namespace of the pull, whose share it counts against; missing for none, and in records of older versions. */
  readonly namespace?: string;
  readonly layers: readonly { readonly digest: Digest; readonly diffId: Digest }[];
}
/** Nobody waits for the rest of a pull any more: what it left may go. */
export interface ImageGivenUp {
  readonly type: 'image.givenUp';
  readonly id: ImageId;
  /** As in `ImageFetching`; without it all pulls of the image. */
  readonly source?: string;
  /** As in `ImageFetching`. */
  readonly namespace?: string;
}
export interface ImageRemoved {
  readonly type: 'image.removed';
  readonly id: ImageId;
}

export type JournalRecord =
  | SandboxIntent
  | SandboxReady
  | SandboxStopping
  | SandboxStopped
  | SandboxRemoved
  | ContainerIntent
  | ContainerCreated
  | ContainerStarted
  | ContainerStopping
  | ContainerUpdating
  | ContainerUpdated
  | ContainerExited
  | ContainerRemoved
  | ImageFetching
  | ImageGivenUp
  | ImagePresent
  | ImageRemoved;

export interface JournalPort {
  /**
   * Appends the records as one group, in order. With `sync` the promise settles
   * once they are durable; without, once they stand in the queue (they reach the
   * kernel with the next write, which is started at once). A rejected append
   * leaves no trace (F19): it is told only once its records are cut off for
   * certain, so it may take as long as the disk refuses that (at most
   * `journalLimits.doubtTries`; what comes after it is refused at once).
   */
  append(records: readonly JournalRecord[], options: { readonly sync: boolean }): Promise<void>;
}

/** How the journal folds its records to what stands now, so that a snapshot can be written; given by actors/ledger/ledger.ts. */
export interface JournalFold<S> {
  empty(): S;
  /** Changes `state` in place. */
  apply(state: S, record: JournalRecord): void;
  /** Records that, folded from empty, give `state` again. */
  records(state: S): readonly JournalRecord[];
  /** The record without secrets that an older version wrote into it (S91); the same object where it has none. */
  withoutSecrets(record: JournalRecord): JournalRecord;
  /**
   * Whether the record may take the space that is kept back for a full disk (F21): what ends something, and what tells of
   * something that can't be undone. What begins something is refused instead, before it has an effect.
   */
  mayUseReserve(state: S, record: JournalRecord): boolean;
}
