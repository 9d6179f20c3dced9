import type { Cause } from '../../base/cause.ts';
import type { Fault } from '../../base/fault.ts';
import type { ContainerId } from '../../base/ids.ts';
import type { EffectiveContainer, ExitFact, ProcessIdentity } from '../../ports/journal.ts';
import type { ContainerSpec, ImageConfig, ImageUse, Resources, SandboxSpec } from '../../ports/specs.ts';

/** What a container acquires, in order. `runtime` is bundle, monitor, process and runtime state: one undo finds them all. */
export const CONTAINER_STEPS = ['rootfs', 'runtime'] as const;
export type ContainerStep = (typeof CONTAINER_STEPS)[number];

export type ContainerEntry =
  | 'new'
  | 'intent'
  | 'created'
  | 'running'
  | 'stopping'
  | 'ended'
  | 'unreleased'
  | 'exited';

/** Needed only to build the container; a recovered one is built already. */
export interface Making {
  readonly sandbox: SandboxSpec;
  readonly imageConfig: ImageConfig;
  readonly pidNamespaceOf: ProcessIdentity | undefined;
}

/** An update of limits that waits or is at work. */
export interface Update {
  /** Tells its caller's outcome from others. */
  readonly opId: string;
  /** What changes; unset and empty stay as they are. */
  readonly change: Resources;
}

/** How an update ended. */
export interface UpdateOutcome {
  readonly opId: string;
  /** Undefined: the limits are in force and on record. */
  readonly fault: Fault | undefined;
}

export interface ContainerInput {
  readonly id: ContainerId;
  readonly spec: ContainerSpec;
  readonly handler: string;
  readonly image: ImageUse;
  readonly createdAtNs: bigint;
  readonly entry: ContainerEntry;
  /** For entry `new` only. */
  readonly making: Making | undefined;
  readonly begun: readonly ContainerStep[];
  readonly init: ProcessIdentity | undefined;
  readonly effective: EffectiveContainer | undefined;
  readonly startedAtNs: bigint | undefined;
  readonly exit: ExitFact | undefined;
  /** For entry `stopping`: milliseconds of grace that are left. */
  readonly graceMs: number;
  readonly claimed: boolean;
  /** An update that a crash of the daemon cut short; it goes on. */
  readonly interrupted?: Update | undefined;
  /** The call that asked for it, for people who look at its birth; none for what a restart found. */
  readonly cause?: Cause;
}

export interface ContainerContext extends ContainerInput {
  readonly owner: ContainerAddress;
  readonly removal: boolean;
  /** Stop, Remove or another wish under the name arrived before it was created. */
  readonly unwanted: boolean;
  /** Its commit may stand on record, until the intent has taken it back: a start would bring it back under its name. */
  readonly committed: boolean;
  /** Monotonic milliseconds at which KILL follows; undefined while no stop is under way. */
  readonly killAtMonoMs: number | undefined;
  /** Of the last stop command: the base from which the remaining grace is counted. */
  readonly askedAtMonoMs: number;
  /** Milliseconds of KILLs without an end. */
  readonly killingMs: number;
  /** Wall clock of the start command; 0 before. */
  readonly startAskedAtNs: bigint;
  /** The record at work takes longer than a stop waits for one (F25). */
  readonly recordIsLate: boolean;
  /** It was stopped while nobody knew whether its start is on record: told as created until its end is. */
  readonly startInDoubt: boolean;
  /** Reason why the start failed; it becomes the exit's message. */
  readonly startFault: Fault | undefined;
  /** The record of its exit was refused; the exit file is the record until a later one holds. */
  readonly unrecorded: boolean;
  readonly fault: Fault | undefined;
  /** Undone things that could not be undone at the exit; told, and tried again by Remove. */
  readonly releaseFault: Fault | undefined;
  /** In the order they came, the first is at work. */
  readonly updates: readonly Update[];
  /** The last ones. */
  readonly updated: readonly UpdateOutcome[];
  /** Why the update at work can't be. */
  readonly updateFault: Fault | undefined;
}

export type ContainerEvent =
  | { readonly type: 'container.claim' }
  | { readonly type: 'container.start'; readonly nowNs: bigint }
  | {
      readonly type: 'container.stop';
      readonly graceMs: number;
      readonly nowMonoMs: number;
      readonly nowNs: bigint;
    }
  | { readonly type: 'container.remove'; readonly nowMonoMs: number }
  | { readonly type: 'container.update'; readonly update: Update }
  | { readonly type: 'container.abandon' }
  | { readonly type: 'container.exited'; readonly exit: ExitFact }
  | { readonly type: 'janitor.retry' };

export type ContainerAddress = `container/${string}`;

/** Address of a container's actor. */
export function containerAddress(id: ContainerId): ContainerAddress {
  return `container/${id}`;
}

/** The first context. */
export function containerContext(input: ContainerInput): ContainerContext {
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
    updates: input.interrupted === undefined ? [] : [input.interrupted],
    updated: [],
    updateFault: undefined,
  };
}

/** The next step to undo, last begun first. */
export function nextContainerUndo(begun: readonly ContainerStep[]): ContainerStep | undefined {
  return CONTAINER_STEPS.toReversed().find((step) => begun.includes(step));
}
