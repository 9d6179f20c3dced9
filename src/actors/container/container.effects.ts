import type { Activity } from '../effects/activity.ts';
import { recordedExit, recordedSpec } from '../effects/recorded.ts';
import { effectLogic } from '../effects/effect-logic.ts';
import type { Owned } from '../effects/effect-logic.ts';
import { containerNri } from '../effects/nri-events.ts';
import { undoLogic } from '../effects/undo.ts';
import { assert, unreachable } from '../../base/assert.ts';
import type { ContainerId } from '../../base/ids.ts';
import { actorLimits } from '../bounds.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { EffectiveContainer, ExitFact, ProcessIdentity } from '../../ports/journal.ts';
import type { Ports } from '../../ports/ports.ts';
import type { RootfsInput } from '../../ports/storage.ts';
import type { ContainerSpec, ImageUse, Resources, RestoreSource } from '../../ports/specs.ts';
import type { ContainerStep, MakingInput } from './container.context.ts';

export interface ContainerEffectInput extends Owned {
  readonly id: ContainerId;
  readonly handler: string;
  readonly spec: ContainerSpec;
  readonly image: ImageUse;
}
/** One update: from the recorded limits to the requested ones. */
export type UpdateInput = ContainerEffectInput & {
  readonly opId: string;
  readonly from: Resources;
  readonly resources: Resources;
};
/** The result of a restore, which starts the process. */
interface Restored {
  readonly startedAtNs: bigint;
  readonly init: ProcessIdentity;
}
type WithInit = ContainerEffectInput & { readonly init: ProcessIdentity | undefined };

type UndoRequest = ContainerEffectInput & {
  readonly steps: readonly ContainerStep[];
  readonly ended: boolean;
};

/**
 * The effects of a container: each calls one port once. Effects that start a process also register its watch, which
 * cannot fail.
 */
export function containerEffects(ports: Ports, activity: Activity) {
  const { journal, runtime, storage, checkpoints, clock } = ports;
  const limits = actorLimits;
  const nri = containerNri(ports, activity);
  return {
    recordIntent: effectLogic<ContainerEffectInput & { readonly createdAtNs: bigint }, void>(
      activity,
      'recordIntent',
      limits.journalMs,
      ({ id, spec, image, createdAtNs }) =>
        journal.append([{ type: 'container.intent', id, spec: recordedSpec(spec), image, createdAtNs }], {
          sync: true,
        }),
    ),
    mountRootfs: effectLogic<ContainerEffectInput, void>(
      activity,
      'mountRootfs',
      limits.rootfsMs,
      (input, fx) =>
        storage.mountRootfs(
          {
            id: input.id,
            sandboxId: input.spec.key.sandboxId,
            layers: input.image.layers,
            volumes: input.image.volumes,
            mountLabel: input.spec.selinuxLabels?.mount,
            ...userNamespaceOf(input.spec),
          },
          fx,
        ),
    ),
    importCheckpoint: effectLogic<ContainerEffectInput, void>(
      activity,
      'importCheckpoint',
      actorLimits.checkpointMs,
      (input, fx) => checkpoints.import({ ...input, restore: sourceOf(input) }, fx),
    ),
    writeBundle: effectLogic<
      ContainerEffectInput & { readonly making: MakingInput | undefined },
      EffectiveContainer
    >(activity, 'writeBundle', limits.rootfsMs, (input, fx) => writeBundle(ports, input, fx)),
    create: effectLogic<
      ContainerEffectInput & { readonly effective: EffectiveContainer | undefined },
      ProcessIdentity
    >(activity, 'create', limits.runtimeCreateMs, async (input, fx) => {
      const { effective } = input;
      assert(effective !== undefined, 'create before the bundle');
      const init = await runtime.create({ ...input, effective }, fx);
      runtime.watch({ ...input, init });
      return init;
    }),
    recordCreated: effectLogic<WithInit & { readonly effective: EffectiveContainer | undefined }, void>(
      activity,
      'recordCreated',
      limits.journalMs,
      ({ id, spec, init, effective }) => {
        assert(
          effective !== undefined && (init !== undefined || spec.restore !== undefined),
          'commit before create',
        );
        return journal.append([{ type: 'container.created', id, init, effective }], { sync: true });
      },
      nri.notifyAfter('PostCreateContainer'),
    ),
    askPlugins: nri.ask('StartContainer'),
    start: effectLogic<ContainerEffectInput, { readonly startedAtNs: bigint }>(
      activity,
      'start',
      limits.runtimeStartMs,
      async (input, fx) => {
        const startedAtNs = clock.nowNs();
        await runtime.start(input, fx);
        return { startedAtNs };
      },
    ),
    restore: effectLogic<
      ContainerEffectInput & { readonly effective: EffectiveContainer | undefined },
      Restored
    >(activity, 'restore', actorLimits.checkpointMs, async (input, fx) => {
      const { effective } = input;
      assert(effective !== undefined, 'restore before the bundle');
      const startedAtNs = clock.nowNs();
      const init = await checkpoints.restore({ ...input, effective }, fx);
      runtime.watch({ ...input, init });
      return { startedAtNs, init };
    }),
    recordStarted: effectLogic<WithInit & { readonly startedAtNs: bigint | undefined }, void>(
      activity,
      'recordStarted',
      limits.journalMs,
      ({ id, spec, init, startedAtNs }) => {
        assert(startedAtNs !== undefined, 'record of a start without its time');
        return journal.append(
          [{ type: 'container.started', id, startedAtNs, ...(spec.restore === undefined ? {} : { init }) }],
          { sync: true },
        );
      },
      nri.notifyAfter('PostStartContainer'),
    ),
    terminate: effectLogic<WithInit & { readonly signal: string; readonly graceLeftMs: number }, void>(
      activity,
      'terminate',
      limits.runtimeEndMs,
      async (input, fx) => {
        const { init } = input;
        assert(init !== undefined, 'stop without a process');
        const graceMs = Math.round(input.graceLeftMs);
        const killAtNs = clock.nowNs() + BigInt(graceMs) * 1_000_000n;
        const killAtMonoMs = Math.round(clock.monoMs()) + graceMs;
        // after a crash in the grace period, recovery continues the stop with the time that is left (F04); not synced:
        // if the record is lost, the client only has to repeat its stop
        await journal.append([{ type: 'container.stopping', id: input.id, killAtNs, killAtMonoMs }], {
          sync: false,
        });
        await runtime.kill({ ...input, init, signal: input.signal }, fx);
      },
    ),
    recordUpdating: effectLogic<UpdateInput, void>(
      activity,
      'recordUpdating',
      limits.journalMs,
      ({ id, opId, resources }) =>
        journal.append([{ type: 'container.updating', id, opId, resources }], { sync: true }),
    ),
    update: effectLogic<UpdateInput, void>(activity, 'update', limits.runtimeUpdateMs, (input, fx) =>
      runtime.update(input, fx),
    ),
    recordUpdated: effectLogic<UpdateInput, void>(
      activity,
      'recordUpdated',
      limits.journalMs,
      ({ id, resources }) => journal.append([{ type: 'container.updated', id, resources }], { sync: true }),
    ),
    killAll: effectLogic<WithInit, void>(activity, 'killAll', limits.runtimeEndMs, (input, fx) =>
      runtime.killAll(input, fx),
    ),
    recordExit: effectLogic<
      ContainerEffectInput & {
        readonly exit: ExitFact | undefined;
        readonly startedAtNs: bigint | undefined;
        readonly startUnrecorded: boolean | undefined;
      },
      void
    >(activity, 'recordExit', limits.journalMs, ({ id, exit, startedAtNs, startUnrecorded }) => {
      assert(exit !== undefined, 'record of an exit that is unknown');
      const unsure = startUnrecorded === true ? { startUnrecorded } : {};
      return journal.append(
        [{ type: 'container.exited', id, exit: recordedExit(exit), startedAtNs, ...unsure }],
        { sync: true },
      );
    }),
    forgetExit: effectLogic<ContainerEffectInput, void>(
      activity,
      'forgetExit',
      limits.runtimeEndMs,
      (input, fx) => runtime.forgetExit(input, fx),
    ),
    // for every exit, also without a StopContainer call
    notifyStopped: nri.notify('StopContainer'),
    deleteRuntime: effectLogic<ContainerEffectInput, void>(
      activity,
      'delete',
      limits.runtimeEndMs,
      (input, fx) => runtime.delete(input, fx),
    ),
    unmountRootfs: effectLogic<ContainerEffectInput, void>(
      activity,
      'unmountRootfs',
      limits.rootfsMs,
      (input, fx) => storage.unmountRootfs({ id: input.id, layers: input.image.layers }, fx),
    ),
    undo: undoLogic<ContainerStep, UndoRequest>(activity, limits.removeRootfsMs, (step, input, fx) =>
      undoStep(ports, step, input, fx),
    ),
    recordRemoved: effectLogic<ContainerEffectInput, void>(
      activity,
      'recordRemoved',
      limits.journalMs,
      ({ id }) => journal.append([{ type: 'container.removed', id }], { sync: true }),
      nri.notifyBefore('RemoveContainer'),
    ),
  };
}

function sourceOf({ spec: { restore } }: ContainerEffectInput): RestoreSource {
  assert(restore !== undefined, 'import for a container that is not restored');
  return restore;
}

function userNamespaceOf({ key, security }: ContainerSpec): Pick<RootfsInput, 'userNamespace'> {
  const mappings = security.namespaces.user;
  return mappings === undefined ? {} : { userNamespace: { sandboxId: key.sandboxId, mappings } };
}

function writeBundle(
  ports: Ports,
  input: ContainerEffectInput & { readonly making: MakingInput | undefined },
  fx: EffectContext,
): Promise<EffectiveContainer> {
  const { making, ...rest } = input;
  assert(making !== undefined, 'bundle of a recovered container');
  return ports.runtime.writeBundle(
    {
      ...rest,
      sandboxId: input.spec.key.sandboxId,
      sandbox: making.sandbox,
      image: making.imageConfig,
      pidNamespaceOf: making.pidNamespaceOf,
    },
    fx,
  );
}

/** Undoes one step; idempotent. */
function undoStep(ports: Ports, step: ContainerStep, input: UndoRequest, fx: EffectContext): Promise<void> {
  switch (step) {
    case 'runtime':
      return ports.runtime.destroy(input, fx);
    case 'rootfs':
      return ports.storage.removeRootfs({ id: input.id, layers: input.image.layers }, fx);
    default:
      return unreachable(step);
  }
}

export type ContainerEffects = ReturnType<typeof containerEffects>;
