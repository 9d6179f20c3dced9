/**
 * Recovery at a start: gives each sandbox and container of the ledger its actor, then reports or deletes what has no
 * record.
 */
import { toFault } from '../../base/fault.ts';
import { actorLimits } from '../bounds.ts';
import type { ContainerId } from '../../base/ids.ts';
import type { ContainerMachineInput } from '../container/container.context.ts';
import type { Directory } from '../directory/directory.ts';
import { forgetBroken } from '../images/broken.ts';
import type { ClockPort } from '../../ports/clock.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { Ports } from '../../ports/ports.ts';
import type { SandboxMachineInput } from '../sandbox/sandbox.context.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { observeWorld } from './observe.ts';
import { planContainer, planSandbox } from './plan.ts';
import type { World } from './plan.ts';

export interface RecoveryStage {
  readonly ports: Ports;
  readonly ledger: Ledger;
  readonly directory: Directory;
  readonly clock: ClockPort;
  startSandbox(input: SandboxMachineInput): void;
  startContainer(input: ContainerMachineInput): void;
  /** The janitor deletes these root file systems, which belong to nobody. */
  rootfsLeft(ids: readonly ContainerId[]): void;
}

/**
 * Observes the node and starts an actor for each sandbox and container of the ledger. The runtime driver watches for
 * exits before it observes, so that no exit falls between the two.
 */
export async function recover(stage: RecoveryStage, fx: EffectContext): Promise<void> {
  const { ports, ledger } = stage;
  const world = await observeWorld(ports, ledger, fx);
  for (const id of [...ledger.sandboxes.keys()]) {
    const input = planSandbox(ledger, world, id);
    if (input !== undefined) stage.startSandbox(input);
  }
  for (const id of [...ledger.containers.keys()]) {
    const input = planContainer(ledger, world, id);
    if (input === undefined) continue;
    stage.startContainer(input);
    watchAgain(stage, input);
  }
  reportUnrecorded(ports, ledger, world);
  stage.rootfsLeft(rootfsWithoutRecord(stage, world));
  // neither is needed to serve, and the janitor's rounds repeat both
  await orLater(ports, 'forget images with a missing layer', async () => {
    if (world.storage.imagesUnknown !== true)
      await forgetBroken(ports, [...ledger.images.values()], world.storage);
  });
  await orLater(ports, 'delete leftovers of earlier runs', () => ports.storage.removePartials(fx));
}

/** Runs work whose failure must not keep the daemon from serving: a failure is only logged (F89). */
async function orLater({ log }: Ports, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    log.warn({ fault: toFault(thrown) }, `${what}: failed, will be retried`);
  }
}

function watchAgain(stage: RecoveryStage, input: ContainerMachineInput): void {
  const { id, handler, spec, init, entry } = input;
  if (init === undefined || ['ended', 'unreleased', 'exited', 'intent'].includes(entry)) return;
  stage.ports.runtime.watch({ id, handler, spec, init });
}

/**
 * Logs containers and sandboxes below our directories that no record names. Intents are durable before the first
 * effect, so these exist only after the journal was damaged (F18). They are logged and never killed.
 */
function reportUnrecorded(ports: Ports, ledger: Ledger, world: World): void {
  const containers = [...world.containers.keys()].filter((id) => !ledger.containers.has(id));
  const sandboxes = world.host.sandboxes.map((seen) => seen.id).filter((id) => !ledger.sandboxes.has(id));
  if (containers.length + sandboxes.length === 0) return;
  ports.log.warn(
    { containers, sandboxes },
    'found sandboxes or containers without a record; they are left as they are',
  );
}

/**
 * Root file systems that no record names: after a power loss the disk may bring back one whose removal was recorded
 * (F94). One that is mounted or that the runtime knows is left as it is: only a damaged journal forgets those.
 */
function rootfsWithoutRecord({ ports, ledger }: RecoveryStage, world: World): readonly ContainerId[] {
  const left = world.storage.rootfs
    .filter(({ id, mounted }) => !mounted && !ledger.containers.has(id) && !world.containers.has(id))
    .map(({ id }) => id);
  if (left.length > 0)
    ports.log.warn({ containers: left }, 'found root file systems without a record; deleting them');
  return left;
}

/** Settles once every actor is settled, after `drainMs` at the latest. */
export async function settleAll(stage: RecoveryStage, fx: EffectContext): Promise<void> {
  const { directory, clock } = stage;
  const busy = (): boolean =>
    [...directory.sandboxes(), ...directory.containers()].some((view) => !view.settled);
  await new Promise<void>((resolve) => {
    const done = (): void => {
      unlisten();
      clock.clearTimeout(timer);
      resolve();
    };
    const unlisten = directory.listenToAll(() => {
      if (!busy()) done();
    });
    const timer = clock.setTimeout(done, Math.min(fx.timeoutMs, actorLimits.drainMs));
    fx.signal.addEventListener('abort', done, { once: true });
    if (!busy()) done();
  });
}
