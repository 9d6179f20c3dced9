/** What must survive `kill -9`: facts of troupe's own, never snapshots of a machine. */
import type { ContainerId, Digest, ImageId, SandboxId } from '../base/ids.ts';
import type { ImageRecord, ImageUse, RecordedSpec, Resources, SandboxSpec } from './specs.ts';

export interface SandboxIntent {
  readonly type: 'sandbox.intent';
  readonly id: SandboxId;
  readonly spec: SandboxSpec;
  readonly createdAtNs: bigint;
}
/** The commit of a sandbox: from here on it is ready and listed. */
export interface SandboxReady {
  readonly type: 'sandbox.ready';
  readonly id: SandboxId;
  /** The first is the primary IP. */
  readonly ips: readonly string[];
  /** The process that holds the shared PID namespace; undefined where none is needed. */
  readonly pause: ProcessIdentity | undefined;
}
/** A stop has begun: after a crash the sandbox is notReady, whatever is left of it. */
export interface SandboxStopping {
  readonly type: 'sandbox.stopping';
  readonly id: SandboxId;
  /** It is removed after the stop, and after a crash the removal goes on. Absent in records of older versions. */
  readonly removal?: boolean;
}
export interface SandboxStopped {
  readonly type: 'sandbox.stopped';
  readonly id: SandboxId;
  /** Steps whose cleanup is pending. (The name stays: older records have it.) */
  readonly owed: readonly string[];
  /** As in `SandboxStopping`. */
  readonly removal?: boolean;
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
/** Identifies a process even after its pid was reused: pid, start time and boot. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, clock ticks since boot. */
  readonly startTicks: bigint;
  readonly bootId: string;
}
/** What the container got in the end; ContainerStatus reports it. */
export interface EffectiveContainer {
  readonly uid: number;
  readonly gid: number;
  readonly supplementalGroups: readonly number[];
  readonly stopSignal: string;
  /** Absolute; empty for none. */
  readonly logPath: string;
  /** The limits in force, where NRI plugins changed the requested ones. */
  readonly limits?: Resources | undefined;
}
/** The commit of a create. */
export interface ContainerCreated {
  readonly type: 'container.created';
  readonly id: ContainerId;
  /** Absent for a container that is to be restored: it has no process before its start. */
  readonly init?: ProcessIdentity | undefined;
  readonly effective: EffectiveContainer;
}
export interface ContainerStarted {
  readonly type: 'container.started';
  readonly id: ContainerId;
  readonly startedAtNs: bigint;
  /** Only for a restored container. */
  readonly init?: ProcessIdentity | undefined;
}
/** A stop is under way. Not synced. After a crash the stop goes on with what is left of the grace period. */
export interface ContainerStopping {
  readonly type: 'container.stopping';
  readonly id: ContainerId;
  /** Wall clock, for people who read the journal. */
  readonly killAtNs: bigint;
  /**
   * The same deadline on `ClockPort.monoMs`. This one decides, since nobody can set that clock (F78). Absent
   * in records of older versions.
   */
  readonly killAtMonoMs?: number;
}
/**
 * An update of limits is about to reach the kernel. After a crash the update is carried out again: the cgroup
 * then has the old limits or the new ones, and the record must say which (F09).
 */
export interface ContainerUpdating {
  readonly type: 'container.updating';
  readonly id: ContainerId;
  /** Identifies this caller's update among others. */
  readonly opId: string;
  /** All limits after the update, not only those that change. */
  readonly resources: Resources;
}
/** The limits that the kernel has now. Ends the update that was begun, also when it was undone. */
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
  /**
   * No start is recorded, and a later boot found the exit: it may never have run, and `startedAtNs` is the
   * latest time at which it can have started. Absent for others, and in records of older versions.
   */
  readonly startUnrecorded?: boolean;
}
export interface ContainerRemoved {
  readonly type: 'container.removed';
  readonly id: ContainerId;
}
/** The image is present in whole, with these names. Replaces an earlier record of the same id. */
export interface ImagePresent {
  readonly type: 'image.present';
  readonly image: ImageRecord;
}
/**
 * A pull is about to fetch these layers. Until the image is present or the pull is given up, layers that have
 * arrived are kept for the next try, across a restart of the daemon too (F07). Not synced: without the record
 * they are fetched again.
 */
export interface ImageFetching {
  readonly type: 'image.fetching';
  readonly id: ImageId;
  /** The manifest whose blobs they are, by repository and digest. Absent in records of older versions. */
  readonly source?: string;
  /**
   * Kubernetes namespace of the pull, whose share of downloads this counts against. Absent for none, and in
   * records of older versions.
   */
  readonly namespace?: string;
  readonly layers: readonly { readonly digest: Digest; readonly diffId: Digest }[];
}
/** Nobody waits for the rest of a pull any more: its layers may be deleted. */
export interface ImageGivenUp {
  readonly type: 'image.givenUp';
  readonly id: ImageId;
  /** As in `ImageFetching`. Absent: all pulls of the image. */
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
   * Appends the records as one group, in order. With `sync` the promise settles once they are durable;
   * without it, once they are queued (they reach the kernel with the next write, which starts at once).
   * A rejected append leaves no record behind (F19). Its promise therefore rejects only once the records have
   * been cut off the file for certain, which may take as long as the disk refuses that (at most
   * `journalLimits.doubtTries` tries; appends queued behind it are refused at once).
   */
  append(records: readonly JournalRecord[], options: { readonly sync: boolean }): Promise<void>;
}

/**
 * How the journal folds its records into the current state, from which it writes a snapshot. Implemented by
 * actors/ledger/ledger.ts.
 */
export interface JournalFold<S> {
  empty(): S;
  /** Changes `state` in place. */
  apply(state: S, record: JournalRecord): void;
  /** Records that give `state` again when folded from empty. */
  records(state: S): readonly JournalRecord[];
  /**
   * The record without secrets that an older version wrote into it (S91); the same object when it has none.
   */
  withoutSecrets(record: JournalRecord): JournalRecord;
  /**
   * Whether the record may use the space that is reserved for a full disk (F21). A record may when it ends
   * something, or reports something that can't be undone. A record that begins something is refused instead,
   * before it has any effect.
   */
  mayUseReserve(state: S, record: JournalRecord): boolean;
}
