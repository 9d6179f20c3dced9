import type { Cause } from '../../base/cause.ts';
import type { Fault } from '../../base/fault.ts';
import type { SandboxId } from '../../base/ids.ts';
import type { ProcessIdentity } from '../../ports/journal.ts';
import type { SandboxSpec } from '../../ports/specs.ts';
import { undoableSteps } from '../effects/undo.ts';
import type { UndoOrder } from '../effects/undo.ts';

/** The steps of making a sandbox, in order. Each has an undo of the same name. */
export const SANDBOX_STEPS = ['files', 'cgroup', 'namespaces', 'network', 'pause'] as const;
export type SandboxStep = (typeof SANDBOX_STEPS)[number];

/**
 * For each step, those that are undone before it. The pause process runs in the sandbox's cgroup and namespaces, and
 * its bundle is one of the files; CNI DEL needs the network namespace. Containers are gone before any step is undone.
 */
export const UNDO_AFTER: UndoOrder<SandboxStep> = {
  files: ['pause'],
  cgroup: ['pause'],
  namespaces: ['network', 'pause'],
  network: [],
  pause: [],
};

/**
 * Steps that Stop undoes, with all that are undone before them. Remove undoes the rest, so that a stopped sandbox can
 * still be inspected.
 */
const STOP_STEPS: ReadonlySet<SandboxStep> = new Set<SandboxStep>(['pause', 'network', 'namespaces']);

export interface SandboxContext {
  readonly id: SandboxId;
  readonly owner: SandboxAddress;
  readonly spec: SandboxSpec;
  readonly createdAtNs: bigint;
  /** Where the actor begins; read by `recovering`. */
  readonly entry: SandboxEntry;
  /** Steps that were begun and not yet undone. A failed step counts as begun: it may have left something. */
  readonly begun: readonly SandboxStep[];
  /** Steps whose undo has failed in the undo under way; it goes on with the others. */
  readonly undoFailed: readonly SandboxStep[];
  readonly ips: readonly string[];
  readonly pause: ProcessIdentity | undefined;
  /** A client has got the id. */
  readonly claimed: boolean;
  /** Remove was called: notReady continues to removing by itself. */
  readonly removal: boolean;
  /** Stop, Remove or a different request under the same name arrived before the sandbox was ready. */
  readonly unwanted: boolean;
  /** The journal may hold its commit, and no second intent cancels it: the next boot would list it under its name. */
  readonly committed: boolean;
  /** Why the start or the last command failed; undefined after a success. */
  readonly fault: Fault | undefined;
}

export type SandboxEntry = 'new' | 'intent' | 'ready' | 'stopping' | 'stopped';

export interface SandboxMachineInput {
  readonly id: SandboxId;
  readonly spec: SandboxSpec;
  readonly createdAtNs: bigint;
  readonly entry: SandboxEntry;
  readonly begun: readonly SandboxStep[];
  readonly ips: readonly string[];
  readonly pause: ProcessIdentity | undefined;
  readonly claimed: boolean;
  /** An earlier boot began its removal. */
  readonly removal?: boolean;
  /** The call that created the sandbox, shown in its history; undefined after a recovery. */
  readonly cause?: Cause;
}

export type SandboxEvent =
  | { readonly type: 'sandbox.claim' }
  | { readonly type: 'sandbox.stop' }
  | { readonly type: 'sandbox.remove' }
  /** The sandbox is no longer wanted: a different request came under its name, or no caller waits for it. */
  | { readonly type: 'sandbox.abandon' }
  /** The janitor found that the pause process or a pinned namespace is gone. */
  | { readonly type: 'sandbox.broken'; readonly why: string }
  | { readonly type: 'janitor.retry' };

export type SandboxAddress = `sandbox/${string}`;

/** Address of a sandbox's actor. */
export function sandboxAddress(id: SandboxId): SandboxAddress {
  return `sandbox/${id}`;
}

/** The context with which the machine begins. */
export function sandboxContext(input: SandboxMachineInput): SandboxContext {
  const committed = input.entry !== 'new' && input.entry !== 'intent';
  return {
    ...input,
    owner: sandboxAddress(input.id),
    removal: input.removal ?? false,
    unwanted: false,
    committed,
    undoFailed: [],
    fault: undefined,
  };
}

/** The steps that this sandbox needs, in order. `pause` only with a shared PID namespace or a handler that needs it. */
export function stepsOf(spec: SandboxSpec): readonly SandboxStep[] {
  return SANDBOX_STEPS.filter((step) => {
    if (step === 'network') return spec.namespaces.network === 'pod';
    if (step === 'pause') return spec.namespaces.pid === 'pod' || spec.runtime?.needsPause === true;
    return true;
  });
}

/** The name of the sandbox's handler, as the drivers know it. */
export function handlerOf(spec: SandboxSpec): string {
  return spec.runtime?.name ?? spec.handler;
}

/** Those of the begun steps that Stop undoes. */
export function stopSteps(begun: readonly SandboxStep[]): readonly SandboxStep[] {
  return begun.filter((step) => STOP_STEPS.has(step));
}

/** The steps that are undone now, at the same time; with `stopOnly`, only steps that Stop undoes. */
export function stepsToUndo(
  { begun, undoFailed }: Pick<SandboxContext, 'begun' | 'undoFailed'>,
  stopOnly: boolean,
): readonly SandboxStep[] {
  return undoableSteps(UNDO_AFTER, stopOnly ? stopSteps(begun) : begun, undoFailed);
}

/** Why the effects of a start are aborted: the command that makes them unwanted. */
export function abortReason({ id }: SandboxContext, { type }: { readonly type: string }): string {
  const commands: Readonly<Record<string, string>> = {
    'sandbox.stop': `StopPodSandbox ${id}`,
    'sandbox.remove': `RemovePodSandbox ${id}`,
  };
  return `${commands[type] ?? 'another request with its name'} arrived while it was being started`;
}
