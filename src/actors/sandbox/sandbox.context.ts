import type { Cause } from '../../base/cause.ts';
import type { Fault } from '../../base/fault.ts';
import type { SandboxId } from '../../base/ids.ts';
import type { ProcessIdentity } from '../../ports/journal.ts';
import type { SandboxSpec } from '../../ports/specs.ts';

/** What a sandbox acquires, in the order of acquiring; the undo of each has the same name. */
export const SANDBOX_STEPS = ['files', 'cgroup', 'namespaces', 'network', 'pause'] as const;
export type SandboxStep = (typeof SANDBOX_STEPS)[number];

/** Undone by Stop; the rest stays until Remove, so that a stopped sandbox can still be looked at. */
export const STOP_STEPS: ReadonlySet<SandboxStep> = new Set<SandboxStep>(['pause', 'network', 'namespaces']);

export interface SandboxContext {
  readonly id: SandboxId;
  readonly owner: SandboxAddress;
  readonly spec: SandboxSpec;
  readonly createdAtNs: bigint;
  /** How the actor begins: see `recovering`. */
  readonly entry: SandboxEntry;
  /** Steps that were begun and whose undo has not succeeded: begun, not done, since a failed step may have left something. */
  readonly begun: readonly SandboxStep[];
  readonly ips: readonly string[];
  readonly pause: ProcessIdentity | undefined;
  /** The id was handed to a client. */
  readonly claimed: boolean;
  /** Remove was asked for: goes on by itself from notReady. */
  readonly removal: boolean;
  /** Stop, Remove or another wish under the name arrived before it was ready. */
  readonly unwanted: boolean;
  /** Its commit may stand on record, until the intent has taken it back: a start would bring it back under its name. */
  readonly committed: boolean;
  /** Of the last command or of the start; undefined when it went well. */
  readonly fault: Fault | undefined;
}

export type SandboxEntry = 'new' | 'intent' | 'ready' | 'stopping' | 'stopped';

export interface SandboxInput {
  readonly id: SandboxId;
  readonly spec: SandboxSpec;
  readonly createdAtNs: bigint;
  readonly entry: SandboxEntry;
  readonly begun: readonly SandboxStep[];
  readonly ips: readonly string[];
  readonly pause: ProcessIdentity | undefined;
  readonly claimed: boolean;
  /** The call that asked for it, for people who look at its birth; none for what a restart found. */
  readonly cause?: Cause;
}

export type SandboxEvent =
  | { readonly type: 'sandbox.claim' }
  | { readonly type: 'sandbox.stop' }
  | { readonly type: 'sandbox.remove' }
  /** The wish is not wanted any more (another one under the name, or nobody came for it). */
  | { readonly type: 'sandbox.abandon' }
  /** A witness says that the pause process or a namespace is gone. */
  | { readonly type: 'sandbox.broken'; readonly why: string }
  | { readonly type: 'janitor.retry' };

export type SandboxAddress = `sandbox/${string}`;

/** Address of a sandbox's actor. */
export function sandboxAddress(id: SandboxId): SandboxAddress {
  return `sandbox/${id}`;
}

/** The first context. */
export function sandboxContext(input: SandboxInput): SandboxContext {
  const committed = input.entry !== 'new' && input.entry !== 'intent';
  return {
    ...input,
    owner: sandboxAddress(input.id),
    removal: false,
    unwanted: false,
    committed,
    fault: undefined,
  };
}

/** Steps that this sandbox needs, in order. A pause process only where a PID namespace is shared or the handler needs one. */
export function stepsOf(spec: SandboxSpec): readonly SandboxStep[] {
  return SANDBOX_STEPS.filter((step) => {
    if (step === 'network') return spec.namespaces.network === 'pod';
    if (step === 'pause') return spec.namespaces.pid === 'pod' || spec.runtime?.needsPause === true;
    return true;
  });
}

/** The name of its handler, which drivers are told. */
export function handlerOf(spec: SandboxSpec): string {
  return spec.runtime?.name ?? spec.handler;
}

/** The next step to undo, last begun first; with `stopOnly` only those that Stop undoes. */
export function nextUndo(begun: readonly SandboxStep[], stopOnly: boolean): SandboxStep | undefined {
  return SANDBOX_STEPS.toReversed().find(
    (step) => begun.includes(step) && (!stopOnly || STOP_STEPS.has(step)),
  );
}
