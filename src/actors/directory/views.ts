/** What others may know of an actor: an immutable view, built at each change and read without the actor. */
import type { SnapshotFrom } from 'xstate';
import type { Fault } from '../../base/fault.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import type { ContainerAddress, ContainerContext, UpdateOutcome } from '../container/container.context.ts';
import type { PullAddress } from '../image-pull/image-pull.context.ts';
import type { EffectiveContainer, ExitFact, ProcessIdentity } from '../../ports/journal.ts';
import type { ContainerSpec, ImageUse, SandboxSpec } from '../../ports/specs.ts';
import type { SandboxAddress } from '../sandbox/sandbox.context.ts';
import { stopSteps } from '../sandbox/sandbox.context.ts';
import { statePath } from './state-path.ts';
import { topLevel } from './states.ts';
import type {
  ContainerMachine,
  ContainerState,
  PullMachine,
  PullState,
  SandboxMachine,
  SandboxState,
} from './states.ts';

interface Common {
  /** Such as `provisioning.network.adding`; for messages and introspection, not for decisions. */
  readonly path: string;
  readonly settled: boolean;
  /** Lists of the CRI show it. */
  readonly listed: boolean;
  readonly claimed: boolean;
  readonly fault: Fault | undefined;
}

interface Named {
  /** A restart would bring it back, even if its undo is under way: its name is not free. */
  readonly committed: boolean;
}

export interface SandboxView extends Common, Named {
  readonly kind: 'sandbox';
  readonly address: SandboxAddress;
  /** The first part of `path`; for decisions. */
  readonly state: SandboxState;
  readonly id: SandboxId;
  readonly spec: SandboxSpec;
  readonly createdAtNs: bigint;
  readonly ready: boolean;
  /** Its removal was asked for, and is under way or has failed. */
  readonly removal: boolean;
  /** The first one is the primary. */
  readonly ips: readonly string[];
  readonly pause: ProcessIdentity | undefined;
  /** It was stopped, but the undo of a step failed; the janitor tries again. */
  readonly stopCleanupPending: boolean;
  /** The cleanup after Stop, Remove or a failed start has failed; the janitor tries again. */
  readonly cleanupPending: boolean;
  /** Names of the steps whose undo failed and is tried again. */
  readonly pendingCleanup: readonly string[];
}

export type CriState = 'created' | 'running' | 'exited';

export interface ContainerView extends Common, Named {
  readonly kind: 'container';
  readonly address: ContainerAddress;
  /** The first part of `path`; for decisions. */
  readonly state: ContainerState;
  readonly id: ContainerId;
  /** As requested, but with the limits that are in force now. */
  readonly spec: ContainerSpec;
  readonly handler: string;
  readonly image: ImageUse;
  readonly createdAtNs: bigint;
  readonly startedAtNs: bigint | undefined;
  /** It ended around a crash of the daemon before any start was recorded: it may never have run. */
  readonly startUnrecorded: boolean;
  readonly criState: CriState;
  /** Set once the exit is recorded, also while what the container held is being released. */
  readonly exit: ExitFact | undefined;
  /** While it has its grace period. */
  readonly grace: GraceView | undefined;
  readonly init: ProcessIdentity | undefined;
  readonly effective: EffectiveContainer | undefined;
  readonly startFault: Fault | undefined;
  readonly cleanupPending: boolean;
  /** Its limits can be changed: it was created, has not exited and is not being killed. */
  readonly updatable: boolean;
  /** The opIds of limit updates that wait or are under way. */
  readonly updating: readonly string[];
  /** Outcomes of the last updates. */
  readonly updated: readonly UpdateOutcome[];
  /** Names of the steps whose undo failed and is tried again. */
  readonly pendingCleanup: readonly string[];
}

/** A stop signal was sent, and the process may end by itself. */
export interface GraceView {
  readonly signal: string;
  /** Monotonic milliseconds of the stop command; undefined for one that an earlier instance got. */
  readonly askedAtMonoMs: number | undefined;
  /** Milliseconds that were left then, or at the start of this instance, until KILL. */
  readonly leftMs: number;
}

export interface PullView extends Common {
  readonly kind: 'pull';
  readonly address: PullAddress;
  /** The first part of `path`; for decisions. */
  readonly state: PullState;
  readonly reference: string;
  readonly imageId: string;
  readonly repoDigest: string;
  readonly present: boolean;
}

export type View = SandboxView | ContainerView | PullView;

/** The view of a sandbox's snapshot. */
export function sandboxView(snapshot: SnapshotFrom<SandboxMachine>): SandboxView {
  const { context, value } = snapshot;
  const state = topLevel(value);
  const stopCleanupPending = state === 'notReady' && stopSteps(context.begun).length > 0;
  return {
    address: context.owner,
    path: statePath(value),
    state,
    settled: snapshot.hasTag('settled'),
    kind: 'sandbox',
    id: context.id,
    spec: context.spec,
    createdAtNs: context.createdAtNs,
    ready: snapshot.hasTag('ready'),
    removal: context.removal,
    listed: snapshot.hasTag('listed'),
    claimed: context.claimed,
    committed: context.committed,
    ips: context.ips,
    pause: context.pause,
    stopCleanupPending,
    pendingCleanup:
      state === 'cleanupPending' ? context.begun : stopCleanupPending ? stopSteps(context.begun) : [],
    cleanupPending:
      stopCleanupPending || state === 'cleanupPending' || (state === 'notReady' && context.removal),
    fault: context.fault,
  };
}

/** The view of a container's snapshot. */
export function containerView(snapshot: SnapshotFrom<ContainerMachine>): ContainerView {
  const { context, value } = snapshot;
  const state = topLevel(value);
  const ended = hasExited(state, snapshot);
  return {
    address: context.owner,
    path: statePath(value),
    state,
    settled: snapshot.hasTag('settled'),
    kind: 'container',
    id: context.id,
    spec: context.spec,
    handler: context.handler,
    image: context.image,
    createdAtNs: context.createdAtNs,
    startedAtNs: context.startedAtNs,
    startUnrecorded: context.startUnrecorded ?? false,
    criState: criState(ended, state, context),
    // while it is rebuilt after a crash it counts as claimed, as after a restart: a client may have got its id (I7)
    listed: snapshot.hasTag('listed') && (context.claimed || snapshot.status === 'error'),
    claimed: context.claimed,
    committed: context.committed,
    exit: ended ? context.exit : undefined,
    grace: state === 'stopping' && snapshot.matches({ stopping: 'waiting' }) ? graceView(context) : undefined,
    init: context.init,
    effective: context.effective,
    startFault: context.startFault,
    pendingCleanup: state === 'cleanupPending' ? context.begun : [],
    cleanupPending:
      state === 'cleanupPending' ||
      (state === 'exited' && context.removal) ||
      (ended && state !== 'removing' && context.unrecorded),
    updatable: snapshot.hasTag('updatable'),
    updating: context.updates.map((update) => update.opId),
    updated: context.updated,
    fault: context.fault,
  };
}

function graceView({ killAtMonoMs = 0, askedAtMonoMs, effective }: ContainerContext): GraceView {
  return {
    signal: effective?.stopSignal ?? 'SIGTERM',
    askedAtMonoMs: askedAtMonoMs === 0 ? undefined : askedAtMonoMs,
    leftMs: killAtMonoMs - askedAtMonoMs,
  };
}

/** An exit that an earlier boot recorded and reported is shown from the first moment on. */
function hasExited(state: ContainerState, snapshot: SnapshotFrom<ContainerMachine>): boolean {
  return (
    state === 'exited' ||
    state === 'recordingExit' ||
    state === 'removing' ||
    (state === 'finishing' && !snapshot.hasTag('exitHidden')) ||
    snapshot.context.entry === 'unreleased'
  );
}

/** The CRI has three states for containers; transitional states report the last recorded one. */
function criState(ended: boolean, state: ContainerState, context: ContainerContext): CriState {
  if (ended) return 'exited';
  if (context.startedAtNs !== undefined && state !== 'starting' && !context.startInDoubt) return 'running';
  return 'created';
}

/** The view of a pull's snapshot. */
export function pullView(snapshot: SnapshotFrom<PullMachine>): PullView {
  const { context, value } = snapshot;
  const state = topLevel(value);
  return {
    address: context.owner,
    path: statePath(value),
    state,
    settled: snapshot.hasTag('settled'),
    kind: 'pull',
    reference: context.reference,
    imageId: context.resolved?.id ?? '',
    repoDigest: context.resolved?.repoDigest ?? '',
    present: state === 'present',
    listed: false,
    claimed: true,
    fault: context.fault,
  };
}
