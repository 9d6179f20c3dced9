/** Wires the actors: takes ports and ledger, returns the Troupe. */
import type { AnyActorLogic, AnyActorRef, InspectionEvent } from 'xstate';
import { createActor } from 'xstate';
import { fail } from '../base/fault.ts';
import { innerCause } from '../base/cause.ts';
import type { ContainerId, Digest, SandboxId } from '../base/ids.ts';
import { actorLimits } from './bounds.ts';
import { Activity } from './effects/activity.ts';
import type { Call } from './directory/ask.ts';
import { endAll } from './commands/end-containers.ts';
import { containerAddress } from './container/container.context.ts';
import type { ContainerMachineInput } from './container/container.context.ts';
import { Directory } from './directory/directory.ts';
import { effectLogic } from './effects/effect-logic.ts';
import { PullProgress } from './image-pull/progress.ts';
import { LayerBook } from './ledger/layer-book.ts';
import { collectNetwork } from './janitor/collect-network.ts';
import { collectorMachine } from './janitor/collector.machine.ts';
import { janitorMachine } from './janitor/janitor.machine.ts';
import { sweepOnce } from './janitor/sweep.ts';
import type { Sweeping } from './janitor/sweeping.ts';
import { nriNode } from './commands/nri-node.ts';
import { machinesOf } from './machines.ts';
import type { EffectContext } from '../ports/effect.ts';
import type { Ports } from '../ports/ports.ts';
import type { ImageUse, MachineLabels } from '../ports/specs.ts';
import type { Ledger } from './ledger/ledger.ts';
import { observeWorld } from './recovery/observe.ts';
import { planContainer, planSandbox } from './recovery/plan.ts';
import { recover, settleAll } from './recovery/reconcile.ts';
import { sweepContainer, sweepSandbox } from './recovery/sweep.ts';
import { rootMachine } from './root/root.machine.ts';
import { sandboxAddress } from './sandbox/sandbox.context.ts';
import type { CommandStage } from './stage.ts';
import { supervisorLogic } from './directory/supervisor.ts';
import type { Troupe } from './troupe.ts';
import { troupeOf } from './troupe-calls.ts';
import type { CallsOptions, RootRef } from './troupe-calls.ts';
import { containerView, pullView, sandboxView } from './directory/views.ts';
import type { ContainerView, SandboxView } from './directory/views.ts';

export interface TroupeOptions extends CallsOptions {
  readonly ports: Ports;
  /** The fold of the journal; the journal updates it as records become durable. */
  readonly ledger: Ledger;
  /** The machine's default labels for containers; absent on a machine without SELinux. */
  readonly selinux?: MachineLabels | undefined;
  /** Processors that effects share; where it is not said, no effect waits for another. */
  readonly processors?: number;
  /**
   * Builds the machines; `machinesOf` by default. A simulation has thousands of instances in one process, and gives all
   * of them the same machines.
   */
  readonly machines?: typeof machinesOf;
  /** Called with every event of every actor. What it throws is only logged. */
  readonly inspect?: (event: InspectionEvent) => void;
}

/** The Troupe over these ports. It does nothing before `start()`. */
export function createTroupe(options: TroupeOptions): Troupe {
  const { ports } = options;
  const stage = createStage(options, (supervisor, address, input) => {
    // a call that was admitted may arrive here after the drain has ended the supervisors
    const ref = root.system.get(supervisor) as AnyActorRef | undefined;
    if (ref === undefined) return fail('notReady', `start ${address}: the daemon is shutting down`);
    return ref.send({ type: 'child.start', address, input });
  });
  releaseLayers(stage);
  forwardExits(stage);
  ports.nri.attach(nriNode(stage));
  const root: RootRef = createRoot(stage, options);
  return troupeOf(stage, root, options);
}

/** Starts an actor at an address under its supervisor. */
type StartChild = (supervisor: 'sandboxes' | 'containers' | 'pulls', address: string, input: unknown) => void;

function createStage(
  { ports, ledger, selinux, processors }: TroupeOptions,
  startChild: StartChild,
): CommandStage {
  const directory = new Directory();
  const activity = new Activity(ports.clock, processors);
  const layers = new LayerBook(ledger, ports.storage);
  const sweeping: Sweeping = {
    ports,
    directory,
    layers,
    unclaimed: new Map(),
    interrupted: new Map(),
    debrisAt: undefined,
    rootfsLeft: new Set(),
    rootfsFailedAt: undefined,
    layersChanged: true,
  };
  const stage: CommandStage = {
    ports,
    ledger,
    directory,
    activity,
    layers,
    sweeping,
    progress: new PullProgress(ports.clock),
    selinux,
    clock: ports.clock,
    pulls: new Map(),
    startSandbox: (input) => startChild('sandboxes', sandboxAddress(input.id), input),
    startContainer: (input) => {
      holdLayers(layers, input);
      startChild('containers', containerAddress(input.id), input);
    },
    startPull: (input) => startChild('pulls', input.owner, input),
    rootfsLeft: (ids) => {
      for (const id of ids) sweeping.rootfsLeft.add(id);
    },
    layersLeft: () => {
      sweeping.layersChanged = true;
    },
    sweepSandbox: (view, remove) => sweepQuarantinedSandbox(stage, view, remove),
    sweepContainer: (view, remove) => sweepQuarantinedContainer(stage, view, remove),
  };
  return stage;
}

function sweepQuarantinedSandbox(stage: CommandStage, view: SandboxView, remove: boolean): Promise<void> {
  const { ports, directory, activity } = stage;
  return onOwn(activity, view.address, async (fx) => {
    const [origin, how] = remove
      ? (['RemovePodSandbox', 'remove'] as const)
      : (['StopPodSandbox', 'stop'] as const);
    await endAll(stage, view.id, innerCall(stage, fx, origin), how);
    const swept = await sweepSandbox(ports, view, remove, fx);
    if (remove && ports.nri.isActive())
      await ports.nri.notifyPod('RemovePodSandbox', view.id, fx).catch(() => undefined);
    settle(directory, swept, remove);
  });
}

function sweepQuarantinedContainer(
  { ports, directory, activity }: CommandStage,
  view: ContainerView,
  remove: boolean,
): Promise<void> {
  return onOwn(activity, view.address, async (fx) => {
    const swept = await sweepContainer(ports, view, remove, fx);
    if (remove && ports.nri.isActive())
      await ports.nri.notifyContainer('RemoveContainer', view.id, fx).catch(() => undefined);
    settle(directory, swept, remove);
  });
}

/** Holds the container's layers before its actor starts, so that nothing deletes them meanwhile. */
function holdLayers(layers: LayerBook, { id, spec: { restore }, image, entry }: ContainerMachineInput): void {
  layers.hold(containerAddress(id), layersOf(image));
  if (entry === 'new' && restore !== undefined && 'layer' in restore.from)
    layers.hold(restoreOf(containerAddress(id)), [restore.from.layer]);
}

/** Releases the layers of each container and pull that ends. */
function releaseLayers({ directory, layers, sweeping }: CommandStage): void {
  directory.listenToAll((view, gone) => {
    // a container that was created, or failed to be, no longer needs the layer of its checkpoint
    if (
      view.kind === 'container' &&
      view.spec.restore !== undefined &&
      (gone || view.settled) &&
      layers.release(restoreOf(view.address))
    )
      sweeping.layersChanged = true;
    if (!gone || view.kind === 'sandbox') return;
    layers.release(view.address);
    sweeping.layersChanged = true;
  });
}

/** Forwards the exits that the runtime reports to the actors of their containers. */
function forwardExits({ ports, directory }: CommandStage): void {
  ports.runtime.onExit((id, exit) => {
    if (!directory.send(containerAddress(id), { type: 'container.exited', exit }))
      ports.log.warn({ container: id }, 'ignore exit of unknown container');
  });
}

/** The owner under which a restored container holds the layer of its checkpoint. */
function restoreOf(address: string): string {
  return `restore of ${address}`;
}

/** The layers of the container's image and of the images that it mounts. */
function layersOf({ layers, volumes }: ImageUse): readonly Digest[] {
  return [...layers, ...(volumes ?? []).flatMap((volume) => volume.layers)];
}

/** Runs a sweep as an effect of its own, which only its timeout aborts. */
function onOwn(
  activity: Activity,
  address: string,
  work: (fx: EffectContext) => Promise<void>,
): Promise<void> {
  return activity.run(address, 'sweep', actorLimits.removeRootfsMs, new AbortController().signal, work);
}

/**
 * Updates the directory after the sweep of a quarantined actor: it is gone, or listed as ended. If lists still showed
 * it as running, the kubelet would stop it again and again.
 */
function settle(directory: Directory, view: SandboxView | ContainerView, remove: boolean): void {
  if (remove) directory.drop(view);
  else directory.replace(view);
}

function createRoot(stage: CommandStage, { inspect, machines = machinesOf }: TroupeOptions): RootRef {
  const { activity, clock } = stage;
  const machine = rootMachine({
    recover: effectLogic(activity, 'recover', actorLimits.removeRootfsMs, (_input, fx) => recover(stage, fx)),
    settleAll: effectLogic(activity, 'settleAll', actorLimits.drainMs, (_input, fx) => settleAll(stage, fx)),
    ...supervisors(stage, machines),
    janitor: janitorMachine({
      sweep: effectLogic(activity, 'sweep', actorLimits.removeRootfsMs, (_input, fx) =>
        sweepOnce(stage.sweeping, fx),
      ),
    }),
    collector: collectorMachine({
      collect: effectLogic(activity, 'collect', actorLimits.networkGcMs, (input, fx) =>
        collectNetwork(stage, input, fx),
      ),
    }),
  });
  return createActor(machine, {
    clock: {
      setTimeout: (fn: () => void, ms: number) => clock.setTimeout(fn, ms),
      clearTimeout: (handle) => clock.clearTimeout(handle as never),
    },
    ...(inspect === undefined ? {} : { inspect: guarded(inspect, stage.ports) }),
  });
}

function guarded(inspect: (event: InspectionEvent) => void, ports: Ports): (event: InspectionEvent) => void {
  return (event) => {
    try {
      inspect(event);
    } catch (thrown) {
      ports.log.error({ reason: String(thrown) }, 'inspect actor event: callback threw');
    }
  };
}

function supervisors(
  stage: CommandStage,
  build: typeof machinesOf,
): Record<'sandboxes' | 'containers' | 'pulls', AnyActorLogic> {
  const { ports, ledger, directory, activity, layers, progress, clock } = stage;
  const shared = { directory, activity, clock, log: ports.log };
  const world = () =>
    activity.run('root', 'observe', actorLimits.hostMs, new AbortController().signal, (fx) =>
      observeWorld(ports, ledger, fx),
    );
  const containersOf = {
    stopAll: (id: SandboxId, fx: EffectContext) =>
      endAll(stage, id, innerCall(stage, fx, 'StopPodSandbox'), 'stop'),
    removeAll: (id: SandboxId, fx: EffectContext) =>
      endAll(stage, id, innerCall(stage, fx, 'RemovePodSandbox'), 'remove'),
  };
  const machines = build({ ports, activity, layers, progress, containersOf });
  return {
    sandboxes: supervisorLogic({
      ...shared,
      get logic() {
        return machines.sandbox;
      },
      view: sandboxView,
      rebuild: async (address) =>
        planSandbox(ledger, await world(), address.slice('sandbox/'.length) as SandboxId),
    }),
    containers: supervisorLogic({
      ...shared,
      get logic() {
        return machines.container;
      },
      view: containerView,
      rebuild: async (address) =>
        planContainer(ledger, await world(), address.slice('container/'.length) as ContainerId),
    }),
    pulls: supervisorLogic({
      ...shared,
      get logic() {
        return machines.pull;
      },
      view: pullView,
      // a pull has no durable state to rebuild from: its callers get the fault and pull again
      rebuild: () => Promise.resolve(undefined),
    }),
  };
}

/**
 * The call with which a sandbox stops or removes its containers. Its deadline is that of the sandbox's effect, so that
 * a timeout names the container that it waited for.
 */
function innerCall(stage: CommandStage, fx: EffectContext, origin: string): Call {
  return {
    cause: innerCause(origin),
    signal: fx.signal,
    deadlineMonoMs: stage.clock.monoMs() + fx.timeoutMs,
  };
}
