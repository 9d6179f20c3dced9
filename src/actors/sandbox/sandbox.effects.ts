import type { Activity } from '../effects/activity.ts';
import { effectLogic } from '../effects/effect-logic.ts';
import type { Around, Owned } from '../effects/effect-logic.ts';
import { podNri } from '../effects/nri-events.ts';
import { undoLogic } from '../effects/undo.ts';
import { unreachable } from '../../base/assert.ts';
import type { SandboxId } from '../../base/ids.ts';
import { actorLimits } from '../bounds.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { JournalRecord, ProcessIdentity } from '../../ports/journal.ts';
import type { Ports } from '../../ports/ports.ts';
import type { SandboxSpec } from '../../ports/specs.ts';
import type { SandboxStep } from './sandbox.context.ts';

export interface SandboxEffectInput extends Owned {
  readonly id: SandboxId;
  readonly spec: SandboxSpec;
}

export interface UndoInput extends SandboxEffectInput {
  readonly steps: readonly SandboxStep[];
}

/** The stop that is recorded is part of a removal, or not. */
type RemovalInput = SandboxEffectInput & { readonly removal: boolean };

/**
 * How a sandbox ends its containers. A sandbox waits for its containers, never the reverse, so no two actors wait for
 * each other.
 */
export interface ContainersOf {
  /** Settles once each container has exited or is undone. */
  stopAll(id: SandboxId, fx: EffectContext): Promise<void>;
  /** Settles once each container is removed. */
  removeAll(id: SandboxId, fx: EffectContext): Promise<void>;
}

const RECORD_MS = actorLimits.journalMs;
/** Milliseconds; the effects of a container may use up their own bounds one after the other. */
const CONTAINERS_MS = actorLimits.runtimeEndMs * 4 + actorLimits.removeRootfsMs;

/** The effects of a sandbox: each calls one port once. */
export function sandboxEffects(ports: Ports, activity: Activity, containers: ContainersOf) {
  const nri = podNri(ports, activity);
  const record = <I extends SandboxEffectInput = SandboxEffectInput>(
    name: string,
    of: (input: I) => JournalRecord,
    around?: Around<I>,
  ) =>
    effectLogic<I, void>(
      activity,
      name,
      RECORD_MS,
      (input, fx) => {
        fx.note({ on: 'journal sync' });
        return ports.journal.append([of(input)], { sync: true });
      },
      around,
    );
  return {
    recordIntent: effectLogic<SandboxEffectInput & { readonly createdAtNs: bigint }, void>(
      activity,
      'recordIntent',
      RECORD_MS,
      ({ id, spec, createdAtNs }) =>
        ports.journal.append([{ type: 'sandbox.intent', id, spec, createdAtNs }], { sync: true }),
    ),
    makeFiles: effectLogic<SandboxEffectInput, void>(activity, 'makeFiles', actorLimits.hostMs, (input, fx) =>
      ports.host.makeSandboxFiles(input, fx),
    ),
    makeCgroup: effectLogic<SandboxEffectInput, void>(
      activity,
      'makeCgroup',
      actorLimits.hostMs,
      (input, fx) => ports.host.makeSandboxCgroup(input, fx),
    ),
    pinNamespaces: effectLogic<SandboxEffectInput, void>(
      activity,
      'pinNamespaces',
      actorLimits.hostMs,
      (input, fx) => ports.host.pinNamespaces(input, fx),
    ),
    addNetwork: effectLogic<SandboxEffectInput, { readonly ips: readonly string[] }>(
      activity,
      'addNetwork',
      actorLimits.networkAddMs,
      (input, fx) => ports.network.add(input, fx),
    ),
    startPause: effectLogic<SandboxEffectInput, ProcessIdentity>(
      activity,
      'startPause',
      actorLimits.runtimeCreateMs,
      ({ id, spec }, fx) => ports.runtime.startPause({ id, sandbox: spec }, fx),
    ),
    recordReady: effectLogic<
      SandboxEffectInput & { readonly ips: readonly string[]; readonly pause: ProcessIdentity | undefined },
      void
    >(
      activity,
      'recordReady',
      RECORD_MS,
      ({ id, ips, pause }) =>
        ports.journal.append([{ type: 'sandbox.ready', id, ips, pause }], { sync: true }),
      nri.askBefore('RunPodSandbox'),
    ),
    recordStopping: record<RemovalInput>('recordStopping', ({ id, removal }) => ({
      type: 'sandbox.stopping',
      id,
      ...(removal ? { removal } : {}),
    })),
    stopContainers: effectLogic<SandboxEffectInput, void>(
      activity,
      'stopContainers',
      CONTAINERS_MS,
      ({ id }, fx) => containers.stopAll(id, fx),
      nri.notifyAfter('StopPodSandbox'),
    ),
    recordStopped: effectLogic<RemovalInput & { readonly owed: readonly SandboxStep[] }, void>(
      activity,
      'recordStopped',
      RECORD_MS,
      ({ id, owed, removal }) =>
        ports.journal.append([{ type: 'sandbox.stopped', id, owed, ...(removal ? { removal } : {}) }], {
          // `sandbox.stopping` is on the disk: without this record a start undoes again what is undone, and no more
          sync: owed.length > 0,
        }),
    ),
    removeContainers: effectLogic<SandboxEffectInput, void>(
      activity,
      'removeContainers',
      CONTAINERS_MS,
      ({ id }, fx) => containers.removeAll(id, fx),
    ),
    undo: undoLogic<SandboxStep, UndoInput>(activity, actorLimits.networkDelMs, (step, input, fx) =>
      undoStep(ports, step, input, fx),
    ),
    recordRemoved: record(
      'recordRemoved',
      ({ id }) => ({ type: 'sandbox.removed', id }),
      nri.notifyBefore('RemovePodSandbox'),
    ),
  };
}

/** Undoes one step; idempotent. The effect that makes it is above. */
function undoStep(
  ports: Ports,
  step: SandboxStep,
  input: SandboxEffectInput,
  fx: EffectContext,
): Promise<void> {
  switch (step) {
    case 'files':
      return ports.host.removeSandboxFiles(input, fx);
    case 'cgroup':
      return ports.host.removeSandboxCgroup(input, fx);
    case 'namespaces':
      return ports.host.unpinNamespaces(input, fx);
    case 'network':
      return ports.network.del(input, fx);
    case 'pause':
      return ports.runtime.destroyPause({ id: input.id, sandbox: input.spec }, fx);
    default:
      return unreachable(step);
  }
}

export type SandboxEffects = ReturnType<typeof sandboxEffects>;
