/** What the outside sees of an actor: immutable, made anew at each change, read without touching the actor. */
import type { AnyMachineSnapshot } from 'xstate';
import type { Fault } from '../../base/fault.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import type { ContainerContext, UpdateOutcome } from '../container/container.context.ts';
import type { PullContext } from '../image-pull/image-pull.context.ts';
import type { EffectiveContainer, ExitFact, ProcessIdentity } from '../../ports/journal.ts';
import type { ContainerSpec, ImageUse, SandboxSpec } from '../../ports/specs.ts';
import type { SandboxContext } from '../sandbox/sandbox.context.ts';
import { nextUndo, STOP_STEPS } from '../sandbox/sandbox.context.ts';
import { statePath } from './state-path.ts';

interface Common {
  readonly address: string;
  /** Such as `provisioning.network.adding`; for people. */
  readonly path: string;
  /** First word of the path; for decisions. */
  readonly state: string;
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
  readonly id: SandboxId;
  readonly spec: SandboxSpec;
  readonly createdAtNs: bigint;
  readonly ready: boolean;
  /** First is the primary. */
  readonly ips: readonly string[];
  readonly pause: ProcessIdentity | undefined;
  /** Something that Stop must undo is still there. */
  readonly owesStop: boolean;
  /** Undone things that the janitor tries again. */
  readonly owes: boolean;
  /** Names of the steps whose undo is owed. */
  readonly debts: readonly string[];
}

export type CriState = 'created' | 'running' | 'exited';

export interface ContainerView extends Common, Named {
  readonly kind: 'container';
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
  readonly owes: boolean;
  /** Its limits can be changed: it was created and has not ended, nor is it being killed. */
  readonly updatable: boolean;
  /** Updates of the limits that wait or are at work, by their opId. */
  readonly updating: readonly string[];
  /** How the last ones ended. */
  readonly updated: readonly UpdateOutcome[];
  /** Names of the steps whose undo is owed. */
  readonly debts: readonly string[];
}

export interface PullView extends Common {
  readonly kind: 'pull';
  readonly reference: string;
  readonly imageId: string;
  readonly repoDigest: string;
  readonly present: boolean;
}

export type View = SandboxView | ContainerView | PullView;

function common(snapshot: AnyMachineSnapshot, address: string): Omit<Common, 'claimed' | 'fault' | 'listed'> {
  const path = statePath(snapshot.value);
  return { address, path, state: path.split(/[.{]/u, 1)[0] ?? '', settled: snapshot.hasTag('settled') };
}

/** The view of a sandbox's snapshot. */
export function sandboxView(snapshot: AnyMachineSnapshot): SandboxView {
  const context = snapshot.context as SandboxContext;
  const base = common(snapshot, context.owner);
  const owesStop = base.state === 'notReady' && nextUndo(context.begun, true) !== undefined;
  return {
    ...base,
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
    owesStop,
    debts:
      base.state === 'owing'
        ? context.begun
        : owesStop
          ? context.begun.filter((step) => STOP_STEPS.has(step))
          : [],
    owes: owesStop || base.state === 'owing' || (base.state === 'notReady' && context.removal),
    fault: context.fault,
  };
}

/** The view of a container's snapshot. */
export function containerView(snapshot: AnyMachineSnapshot): ContainerView {
  const context = snapshot.context as ContainerContext;
  const base = common(snapshot, context.owner);
  const ended = hasExited(base.state, context);
  return {
    ...base,
    kind: 'container',
    id: context.id,
    spec: context.spec,
    handler: context.handler,
    image: context.image,
    createdAtNs: context.createdAtNs,
    startedAtNs: context.startedAtNs,
    criState: criState(base.state, context),
    listed: snapshot.hasTag('listed') && context.claimed,
    claimed: context.claimed,
    committed: context.committed,
    exit: ended ? context.exit : undefined,
    init: context.init,
    effective: context.effective,
    startFault: context.startFault,
    debts: base.state === 'owing' ? context.begun : [],
    owes: base.state === 'owing' || (base.state === 'exited' && (context.removal || context.unrecorded)),
    updatable: snapshot.hasTag('updatable'),
    updating: context.updates.map((update) => update.opId),
    updated: context.updated,
    fault: context.fault,
  };
}

/** One whose exit an earlier life recorded and showed stays so while what it left is released. */
function hasExited(state: string, context: ContainerContext): boolean {
  return (
    state === 'exited' || state === 'recordingExit' || state === 'removing' || context.entry === 'unreleased'
  );
}

/** CRI knows three states; those between keep the one that was last durable. */
function criState(state: string, context: ContainerContext): CriState {
  if (hasExited(state, context)) return 'exited';
  if (context.startedAtNs !== undefined && state !== 'starting' && !context.startInDoubt) return 'running';
  return 'created';
}

/** Its process runs, as far as is known: an end whose record is still being written refuses an exec already (I12). */
export function isAlive(view: ContainerView): boolean {
  return view.criState === 'running' && view.state !== 'finishing';
}

/** The view of a pull's snapshot. */
export function pullView(snapshot: AnyMachineSnapshot): PullView {
  const context = snapshot.context as PullContext;
  const base = common(snapshot, context.owner);
  return {
    ...base,
    kind: 'pull',
    reference: context.reference,
    imageId: context.resolved?.id ?? '',
    repoDigest: context.resolved?.repoDigest ?? '',
    present: base.state === 'present',
    listed: false,
    claimed: true,
    fault: context.fault,
  };
}
