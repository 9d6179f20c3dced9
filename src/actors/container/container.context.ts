import type { Cause } from '../../base/cause.ts';
import type { Fault } from '../../base/fault.ts';
import type { ContainerId } from '../../base/ids.ts';
import type { EffectiveContainer, ExitFact, ProcessIdentity } from '../../ports/journal.ts';
import { undoableSteps } from '../effects/undo.ts';
import type { UndoOrder } from '../effects/undo.ts';
import type { ContainerSpec, ImageConfig, ImageUse, Resources, SandboxSpec } from '../../ports/specs.ts';

/**
 * The steps of making a container, in order. `runtime` covers bundle, monitor, process and runtime state: one undo
 * removes them all.
 */
export const CONTAINER_STEPS = ['rootfs', 'runtime'] as const;
export type ContainerStep = (typeof CONTAINER_STEPS)[number];

/** Where the actor begins: `new`, or what recovery/plan.ts found. */
export type ContainerEntry =
  | 'new'
  | 'intent'
  | 'created'
  | 'running'
  | 'stopping'
  | 'ended'
  | 'unreleased'
  | 'exited';

/** Inputs of the bundle; a recovered container has its bundle already. */
export interface MakingInput {
  readonly sandbox: SandboxSpec;
  readonly imageConfig: ImageConfig;
  readonly pidNamespaceOf: ProcessIdentity | undefined;
}

/** An update of limits, queued or in progress. */
export interface Update {
  /** Identifies the call, which finds its outcome by it. */
  readonly opId: string;
  /** The limits to change; unset and empty fields stay as they are. */
  readonly change: Resources;
}

/** How an update ended. */
export interface UpdateOutcome {
  readonly opId: string;
  /** Undefined: the limits are in force and recorded. */
  readonly fault: Fault | undefined;
}

export interface ContainerMachineInput {
  readonly id: ContainerId;
  readonly spec: ContainerSpec;
  readonly handler: string;
  readonly image: ImageUse;
  readonly createdAtNs: bigint;
  readonly entry: ContainerEntry;
  /** For entry `new` only. */
  readonly making: MakingInput | undefined;
  readonly begun: readonly ContainerStep[];
  readonly init: ProcessIdentity | undefined;
  readonly effective: EffectiveContainer | undefined;
  readonly startedAtNs: bigint | undefined;
  /**
   * It ended around a crash of the daemon, and no start is recorded: it may never have run. `startedAtNs` is then the
   * latest time at which it can have started.
   */
  readonly startUnrecorded?: boolean;
  readonly exit: ExitFact | undefined;
  /** For entry `stopping`: milliseconds left of the grace period. */
  readonly graceMs: number;
  readonly claimed: boolean;
  /** An update that a crash of the daemon interrupted; it continues. */
  readonly interrupted?: Update | undefined;
  /** The call that created the container, shown in its history; undefined after a recovery. */
  readonly cause?: Cause;
}

export interface ContainerContext extends ContainerMachineInput {
  readonly owner: ContainerAddress;
  readonly removal: boolean;
  /** Stop, Remove or a different request under the same name arrived before the container was created. */
  readonly unwanted: boolean;
  /** The journal may hold its commit, and no second intent cancels it: the next boot would list it under its name. */
  readonly committed: boolean;
  /** Monotonic milliseconds at which KILL is sent; undefined while no stop is in progress. */
  readonly killAtMonoMs: number | undefined;
  /** Monotonic milliseconds of the last stop command; the rest of the grace period counts from here. */
  readonly askedAtMonoMs: number;
  /** Milliseconds spent sending KILL without an exit. */
  readonly killingMs: number;
  /** Wall clock at the start command, in nanoseconds; 0 before. */
  readonly startAskedAtNs: bigint;
  /** The current record takes longer than a stop waits for it (F25). */
  readonly recordIsLate: boolean;
  /** Stopped while its start record was still being written: reported CREATED until the exit is recorded. */
  readonly startInDoubt: boolean;
  /** Why the start failed; becomes the message of the exit. */
  readonly startFault: Fault | undefined;
  /** The exit record was refused; the exit file is the record until a later append succeeds. */
  readonly unrecorded: boolean;
  readonly fault: Fault | undefined;
  /** Why runtime state or mount could not be released at the exit; reported, and retried by Remove. */
  readonly releaseFault: Fault | undefined;
  /** The release at the exit has succeeded. */
  readonly released: boolean;
  /** Steps whose undo has failed in the undo under way; it goes on with the others. */
  readonly undoFailed: readonly ContainerStep[];
  /** In order of arrival; the first one is in progress. */
  readonly updates: readonly Update[];
  /** Outcomes of the last updates, at most `updatesKept`. */
  readonly updated: readonly UpdateOutcome[];
  /** The opIds of the checkpoints that may have frozen it. */
  readonly checkpoints: readonly string[];
  /** Why the current update fails. */
  readonly updateFault: Fault | undefined;
}

export type ContainerEvent =
  | { readonly type: 'container.claim' }
  /** `hasPlugins`: NRI plugins are connected. */
  | { readonly type: 'container.start'; readonly nowNs: bigint; readonly hasPlugins: boolean }
  | {
      readonly type: 'container.stop';
      readonly graceMs: number;
      readonly nowMonoMs: number;
      readonly nowNs: bigint;
    }
  | { readonly type: 'container.remove'; readonly nowMonoMs: number }
  | { readonly type: 'container.update'; readonly update: Update }
  /** A checkpoint begins, which freezes the container while it reads it. */
  | { readonly type: 'container.checkpoint'; readonly opId: string }
  /** That checkpoint has thawed the container again, or has ended without freezing it. */
  | { readonly type: 'container.thawed'; readonly opId: string }
  | { readonly type: 'container.abandon' }
  | { readonly type: 'container.exited'; readonly exit: ExitFact }
  | { readonly type: 'janitor.retry' };

export type ContainerAddress = `container/${string}`;

/** Address of a container's actor. */
export function containerAddress(id: ContainerId): ContainerAddress {
  return `container/${id}`;
}

/** The context with which the machine begins. */
export function containerContext(input: ContainerMachineInput): ContainerContext {
  return {
    ...input,
    owner: containerAddress(input.id),
    removal: false,
    unwanted: false,
    committed: input.entry !== 'new' && input.entry !== 'intent',
    killAtMonoMs: input.entry === 'stopping' ? input.graceMs : undefined,
    askedAtMonoMs: 0,
    killingMs: 0,
    startAskedAtNs: 0n,
    recordIsLate: false,
    startInDoubt: false,
    startFault: undefined,
    unrecorded: false,
    fault: undefined,
    releaseFault: undefined,
    released: false,
    undoFailed: [],
    updates: input.interrupted === undefined ? [] : [input.interrupted],
    updated: [],
    checkpoints: [],
    updateFault: undefined,
  };
}

/** The root file system is in use until the processes are gone, which the undo of `runtime` sees to. */
const IN_USE: UndoOrder<ContainerStep> = { rootfs: ['runtime'], runtime: [] };
/** Of a released container no process is left and nothing is mounted: the steps share nothing. */
const RELEASED: UndoOrder<ContainerStep> = { rootfs: [], runtime: [] };

/** What of the context is read for an undo. */
type UndoFacts = Pick<ContainerContext, 'begun' | 'undoFailed' | 'released'>;

/** The steps that are undone now, at the same time. */
export function containerStepsToUndo({ begun, undoFailed, released }: UndoFacts): readonly ContainerStep[] {
  return undoableSteps(released ? RELEASED : IN_USE, begun, undoFailed);
}
