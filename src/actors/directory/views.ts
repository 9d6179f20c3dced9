/** What the outside sees of an actor: immutable, made anew at each change, read without touching the actor. */
import type { SnapshotFrom } from 'xstate';
import type { Fault } from '../../base/fault.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import type { ContainerAddress, ContainerContext, UpdateOutcome } from '../container/container.context.ts';
import type { PullAddress } from '../image-pull/image-pull.context.ts';
import type { EffectiveContainer, ExitFact, ProcessIdentity } from '../../ports/journal.ts';
import type { ContainerSpec, ImageUse, SandboxSpec } from '../../ports/specs.ts';
import type { SandboxAddress } from '../sandbox/sandbox.context.ts';
import { nextUndo, STOP_STEPS } from '../sandbox/sandbox.context.ts';
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
  /** Such as `provisioning.network.adding`; for people. */
  readonly path: string;
  readonly settled: boolean;
  /** Clients see it in lists. */
  readonly listed: boolean;
  readonly claimed: boolean;
  readonly fault: Fault | undefined;
}

interface Named {
  /** A restart would bring it back under its name, also while it is undone: the name is not free. */
  readonly committed: boolean;
}

export interface SandboxView extends Common, Named {
  readonly kind: 'sandbox';
  readonly address: SandboxAddress;
  /** First word of the path; for decisions. */
  readonly state: SandboxState;
  readonly id: SandboxId;
  readonly spec: SandboxSpec;
  readonly createdAtNs: bigint;
  readonly ready: boolean;
  /** First is the primary. */
  readonly ips: readonly string[];
  readonly pause: ProcessIdentity | undefined;
  /** Stop has ended, and something that it undoes is still there. */
  readonly stopCleanupPending: boolean;
  /** The janitor tries again what has failed. */
  readonly cleanupPending: boolean;
  /** Names of the steps whose undo has failed and is tried again. */
  readonly pendingCleanup: readonly string[];
}

export type CriState = 'created' | 'running' | 'exited';

export interface ContainerView extends Common, Named {
  readonly kind: 'container';
  readonly address: ContainerAddress;
  /** First word of the path; for decisions. */
  readonly state: ContainerState;
  readonly id: ContainerId;
  /** As asked for, with the limits that are in force now. */
  readonly spec: ContainerSpec;
  readonly handler: string;
  readonly image: ImageUse;
  readonly createdAtNs: bigint;
  readonly startedAtNs: bigint | undefined;
  readonly criState: CriState;
  /** Only once durable. */
  readonly exit: ExitFact | undefined;
  readonly init: ProcessIdentity | undefined;
  readonly effective: EffectiveContainer | undefined;
  readonly startFault: Fault | undefined;
  readonly cleanupPending: boolean;
  /** Its limits can be changed: it was created and has not ended, nor is it being killed. */
  readonly updatable: boolean;
  /** Updates of the limits that wait or are at work, by their opId. */
  readonly updating: readonly string[];
  /** How the last ones ended. */
  readonly updated: readonly UpdateOutcome[];
  /** Names of the steps whose undo has failed and is tried again. */
  readonly pendingCleanup: readonly string[];
}

export interface PullView extends Common {
  readonly kind: 'pull';
  readonly address: PullAddress;
  /** First word of the path; for decisions. */
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
  const stopCleanupPending = state === 'notReady' && nextUndo(context.begun, true) !== undefined;
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
    listed: snapshot.hasTag('listed'),
    claimed: context.claimed,
    committed: context.committed,
    ips: context.ips,
    pause: context.pause,
    stopCleanupPending,
    pendingCleanup:
      state === 'cleanupPending'
        ? context.begun
        : stopCleanupPending
          ? context.begun.filter((step) => STOP_STEPS.has(step))
          : [],
    cleanupPending:
      stopCleanupPending || state === 'cleanupPending' || (state === 'notReady' && context.removal),
    fault: context.fault,
  };
}

/** The view of a container's snapshot. */
export function containerView(snapshot: SnapshotFrom<ContainerMachine>): ContainerView {
  const { context, value } = snapshot;
  const state = topLevel(value);
  const ended = hasExited(state, context);
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
    criState: criState(state, context),
    listed: snapshot.hasTag('listed') && context.claimed,
    claimed: context.claimed,
    committed: context.committed,
    exit: ended ? context.exit : undefined,
    init: context.init,
    effective: context.effective,
    startFault: context.startFault,
    pendingCleanup: state === 'cleanupPending' ? context.begun : [],
    cleanupPending:
      state === 'cleanupPending' || (state === 'exited' && (context.removal || context.unrecorded)),
    updatable: snapshot.hasTag('updatable'),
    updating: context.updates.map((update) => update.opId),
    updated: context.updated,
    fault: context.fault,
  };
}

/** One whose exit an earlier life recorded and showed stays so while what it left is released. */
function hasExited(state: ContainerState, context: ContainerContext): boolean {
  return (
    state === 'exited' || state === 'recordingExit' || state === 'removing' || context.entry === 'unreleased'
  );
}

/** CRI knows three states; those between keep the one that was last durable. */
function criState(state: ContainerState, context: ContainerContext): CriState {
  if (hasExited(state, context)) return 'exited';
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
