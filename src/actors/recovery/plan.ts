/**
 * Where each actor begins after a crash or restart: from the journal's records and the observed node. Pure. All of
 * troupe's crash recovery follows from these two tables.
 *
 * | sandbox: records          | node                          | begins in                      |
 * |---------------------------|-------------------------------|--------------------------------|
 * | intent                    | anything                      | unwinding, every step          |
 * | ready                     | namespaces, network and pause process exist | ready            |
 * | ready                     | anything missing, or rebooted | notReady, all cleanup pending  |
 * | stopping                  | anything                      | notReady, all cleanup pending  |
 * | stopped                   | anything                      | notReady, recorded cleanup pending |
 * | stopping or stopped, with its removal | anything          | as above; the removal goes on  |
 *
 * | container: records        | node                          | begins in                      |
 * |---------------------------|-------------------------------|--------------------------------|
 * | intent                    | anything                      | unwinding, every step          |
 * | created (not exited)      | exit file exists              | finishing, with that exit      |
 * | created (not exited)      | process waits for start       | created                        |
 * | created, to be restored   | process does not run          | created; an interrupted restore is undone |
 * | created, to be restored   | bundle, mount or checkpoint is gone | finishing, 255 Unknown: the restore had failed, or it was stopped |
 * | created (not exited)      | process runs                  | running, or stopping with the rest of its grace period |
 * | created (not exited)      | process gone, monitor runs    | created or running; the watch reports the exit |
 * | created (not exited)      | process runs, all files of runtime and monitor are gone | created, running, or stopping with the rest of its grace period |
 * | created (not exited)      | process and monitor gone, or rebooted | finishing, 255 Unknown |
 * | exited                    | mount or exit file left       | finishing                      |
 * | exited                    | nothing left                  | exited                         |
 * | updating (not updated)    | created or running            | as above; the update continues |
 */
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import type { ContainerEntry, ContainerMachineInput } from '../container/container.context.ts';
import { CONTAINER_STEPS } from '../container/container.context.ts';
import type { HostFacts } from '../../ports/host.ts';
import type { ExitFact } from '../../ports/journal.ts';
import type { SandboxSpec } from '../../ports/specs.ts';
import type { PauseFacts, RuntimeFacts } from '../../ports/runtime.ts';
import type { StorageFacts } from '../../ports/storage.ts';
import type { SandboxMachineInput, SandboxStep } from '../sandbox/sandbox.context.ts';
import { SANDBOX_STEPS, handlerOf, stepsOf } from '../sandbox/sandbox.context.ts';
import { latest } from '../effects/times.ts';
import type { ContainerFacts, Ledger, SandboxFacts } from '../ledger/ledger.ts';

/** The node as the ports observed it. */
export interface World {
  readonly nowNs: bigint;
  readonly nowMonoMs: number;
  readonly host: HostFacts;
  readonly containers: ReadonlyMap<ContainerId, RuntimeFacts>;
  readonly pauses: ReadonlyMap<SandboxId, PauseFacts>;
  /** Recorded containers whose process runs although no file of runtime or monitor says so (F29). */
  readonly alive: ReadonlySet<ContainerId>;
  readonly storage: StorageFacts;
  /** Sandboxes with a network: CNI ADD was begun, and no DEL has succeeded. */
  readonly networks: ReadonlySet<SandboxId>;
}

const MS = 1_000_000n;

/** How this sandbox's actor begins; undefined when the ledger does not know it. */
export function planSandbox(ledger: Ledger, world: World, id: SandboxId): SandboxMachineInput | undefined {
  const facts = ledger.sandboxes.get(id);
  if (facts === undefined) return undefined;
  const { spec, createdAtNs } = facts.intent;
  const base = {
    id,
    spec,
    createdAtNs,
    ips: facts.ready?.ips ?? [],
    pause: facts.ready?.pause,
    // whether a client had got the id before the crash is unknown: a committed sandbox counts as claimed
    claimed: facts.ready !== undefined,
    removal: facts.removal,
  };
  const all = stepsOf(spec);
  if (facts.ready === undefined) return { ...base, entry: 'intent', begun: all };
  if (facts.stopped) return { ...base, entry: 'stopped', begun: stepsNamed(facts.owed) };
  if (facts.stopping || !isWhole(facts, world)) return { ...base, entry: 'stopping', begun: all };
  return { ...base, entry: 'ready', begun: all };
}

function stepsNamed(names: readonly string[]): readonly SandboxStep[] {
  return SANDBOX_STEPS.filter((step) => names.includes(step));
}

/**
 * The pinned namespaces that a sandbox of this spec can't do without. UTS only holds the host name, so its pin may be
 * lost.
 */
export function pinsOf({ namespaces }: SandboxSpec): readonly ('net' | 'ipc' | 'user')[] {
  return [
    ...(namespaces.network === 'pod' ? (['net'] as const) : []),
    ...(namespaces.ipc === 'pod' ? (['ipc'] as const) : []),
    ...(namespaces.user === undefined ? [] : (['user'] as const)),
  ];
}

function isWhole(facts: SandboxFacts, world: World): boolean {
  const { id, spec } = facts.intent;
  const seen = world.host.sandboxes.find((one) => one.id === id);
  // a stop whose record was refused may have run the CNI DEL
  if (spec.namespaces.network === 'pod' && !world.networks.has(id)) return false;
  const pins = pinsOf(spec);
  if (pins.some((pin) => seen?.pins.includes(pin) !== true)) return false;
  // on the host's network and IPC nothing is pinned: then its files say whether the machine was restarted (F80)
  if (facts.ready?.pause === undefined) return pins.length > 0 || seen?.files === true;
  return world.pauses.get(id)?.process?.pid === facts.ready.pause.pid;
}

/** How this container's actor begins; undefined when the ledger does not know it or its sandbox. */
export function planContainer(
  ledger: Ledger,
  world: World,
  id: ContainerId,
): ContainerMachineInput | undefined {
  const facts = ledger.containers.get(id);
  if (facts === undefined) return undefined;
  const { spec, image, createdAtNs } = facts.intent;
  const sandbox = ledger.sandboxes.get(spec.key.sandboxId);
  const seen = world.containers.get(id);
  const begins = beginning(facts, seen, world);
  return {
    id,
    spec: facts.resources === undefined ? spec : { ...spec, resources: facts.resources },
    image,
    createdAtNs,
    handler: sandbox === undefined ? '' : handlerOf(sandbox.intent.spec),
    making: undefined,
    begun: CONTAINER_STEPS,
    // a restore that ran, but whose record was lost in the crash
    init: facts.created?.init ?? (facts.created === undefined ? undefined : seen?.init),
    effective: facts.created?.effective,
    claimed: facts.created !== undefined,
    graceMs: graceLeft(facts, world),
    interrupted:
      facts.updating === undefined
        ? undefined
        : { opId: facts.updating.opId, change: facts.updating.resources },
    ...begins,
  };
}

type Beginning = Pick<ContainerMachineInput, 'startedAtNs' | 'startUnrecorded' | 'exit'> & {
  readonly entry: ContainerEntry;
};

function beginning(facts: ContainerFacts, seen: RuntimeFacts | undefined, world: World): Beginning {
  const { startedAtNs, exited, created } = facts;
  if (created === undefined) return { entry: 'intent', startedAtNs: undefined, exit: undefined };
  if (exited !== undefined) {
    const left = isMounted(facts, world) || seen?.exitFile !== undefined;
    return {
      entry: left ? 'unreleased' : 'exited',
      startedAtNs: exited.startedAtNs,
      ...(exited.startUnrecorded === true ? { startUnrecorded: true } : {}),
      exit: exited.exit,
    };
  }
  if (seen?.exitFile !== undefined) return ended(facts, seen.exitFile);
  if (created.init === undefined && seen?.process !== 'running') return unrestored(facts, seen, world);
  if (created.init !== undefined && created.init.bootId !== world.host.bootId)
    return ended(facts, lost(world, 'the machine was restarted'));
  if (seen?.process === 'created') return { entry: 'created', startedAtNs: undefined, exit: undefined };
  if (seen?.process !== 'running' && world.alive.has(facts.intent.id)) {
    return {
      entry: startedAtNs === undefined ? 'created' : runningOrStopping(facts),
      startedAtNs,
      exit: undefined,
    };
  }
  if (seen?.process === 'running') {
    const entry = runningOrStopping(facts);
    // the daemon died between the runtime's start and its record, so the start time is unknown; now is the upper bound
    return {
      entry,
      startedAtNs: startedAtNs ?? latest(world.nowNs, facts.intent.createdAtNs),
      exit: undefined,
    };
  }
  if (seen?.monitorAlive === true) {
    return { entry: startedAtNs === undefined ? 'created' : 'running', startedAtNs, exit: undefined };
  }
  return ended(facts, lost(world, 'its process and its monitor were gone when troupe started'));
}

/**
 * A container to be restored that has no known process. If it had exited and the exit record was lost in the crash, a
 * part that a start needs is missing, because runtime state and mount are released while that record is written. A
 * reboot of the node removes the bundle too.
 */
function unrestored(facts: ContainerFacts, seen: RuntimeFacts | undefined, world: World): Beginning {
  const because = (what: string): Beginning =>
    ended(facts, lost(world, `${what} was gone when troupe started, and it had not been restored`));
  if (seen?.leftovers !== true) return because('its bundle');
  if (!isMounted(facts, world)) return because('its root file system');
  // if the monitor runs, the container was restored and has exited since: the monitor will report the exit
  if (!seen.checkpoint && !seen.monitorAlive) return because('its checkpoint');
  return { entry: 'created', startedAtNs: undefined, exit: undefined };
}

function isMounted({ intent }: ContainerFacts, { storage }: World): boolean {
  return storage.rootfs.some(({ id, mounted }) => id === intent.id && mounted);
}

function runningOrStopping({ stopping }: ContainerFacts): 'running' | 'stopping' {
  return stopping === undefined ? 'running' : 'stopping';
}

function ended(facts: ContainerFacts, exit: ExitFact): Beginning {
  return {
    entry: 'ended',
    startedAtNs: facts.startedAtNs ?? latest(exit.finishedAtNs, facts.intent.createdAtNs),
    // a client whose CreateContainer the crash cut, or a take-over, asks again and gets the id (I13)
    ...(facts.startedAtNs === undefined ? { startUnrecorded: true } : {}),
    exit,
  };
}

function lost(world: World, why: string): ExitFact {
  return {
    exitCode: 255,
    finishedAtNs: world.nowNs,
    oomKilled: false,
    reason: 'Unknown',
    message: `exit code unknown: ${why}`,
    observedBy: 'recovery',
  };
}

/**
 * Milliseconds left of the grace period, by the monotonic clock, which nobody can set (F78). It has not restarted: the
 * process runs.
 */
function graceLeft({ stopping }: ContainerFacts, world: World): number {
  if (stopping === undefined) return 0;
  const { killAtNs, killAtMonoMs } = stopping;
  return Math.max(
    0,
    killAtMonoMs === undefined ? Number((killAtNs - world.nowNs) / MS) : killAtMonoMs - world.nowMonoMs,
  );
}
