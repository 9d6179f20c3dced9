/** The start: every fact of the ledger gets its actor, then what belongs to nobody is told or deleted. */
import { toFault } from '../../base/fault.ts';
import { actorLimits } from '../bounds.ts';
import type { ContainerInput } from '../container/container.context.ts';
import type { Directory } from '../directory/directory.ts';
import { forgetBroken } from '../images/broken.ts';
import type { ClockPort } from '../../ports/clock.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { Ports } from '../../ports/ports.ts';
import type { SandboxInput } from '../sandbox/sandbox.context.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { observeWorld } from './observe.ts';
import { planContainer, planSandbox } from './plan.ts';
import type { World } from './plan.ts';

export interface RecoveryStage {
  readonly ports: Ports;
  readonly ledger: Ledger;
  readonly directory: Directory;
  readonly clock: ClockPort;
  startSandbox(input: SandboxInput): void;
  startContainer(input: ContainerInput): void;
}

/**
 * Observes and starts an actor for each sandbox and container of the ledger. Exits
 * are watched before the world is looked at (the driver does so), so none falls
 * between the two looks.
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
  tellStrangers(ports, ledger, world);
  // nothing of these is needed to serve: the janitor's rounds do both again
  await orLater(ports, 'forget images that have lost a layer', async () => {
    if (world.storage.imagesUnknown !== true)
      await forgetBroken(ports, [...ledger.images.values()], world.storage);
  });
  await orLater(ports, 'delete what earlier runs left', () => ports.storage.removePartials(fx));
}

/** What fails is logged and never a reason not to serve (F89). */
async function orLater({ log }: Ports, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    log.warn({ fault: toFault(thrown) }, `${what}: failed, tried again later`);
  }
}

function watchAgain(stage: RecoveryStage, input: ContainerInput): void {
  const { id, handler, spec, init, entry } = input;
  if (init === undefined || ['ended', 'unreleased', 'exited', 'intent'].includes(entry)) return;
  stage.ports.runtime.watch({ id, handler, spec, init });
}

/**
 * Things below our roots that no record names. The intent is durable before the
 * first effect, so they exist only where the journal itself was damaged (F18):
 * they are told and never killed.
 */
function tellStrangers(ports: Ports, ledger: Ledger, world: World): void {
  const containers = [...world.containers.keys()].filter((id) => !ledger.containers.has(id));
  const sandboxes = world.host.sandboxes.map((seen) => seen.id).filter((id) => !ledger.sandboxes.has(id));
  if (containers.length + sandboxes.length === 0) return;
  ports.log.warn(
    { containers, sandboxes },
    'found things below our roots that no record knows; left as they are',
  );
}

/** Settles when no actor is between states any more; the caller bounds it. */
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
