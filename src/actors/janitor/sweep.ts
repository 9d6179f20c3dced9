/** One round of the janitor. */
import { actorLimits } from '../bounds.ts';
import type { Directory } from '../directory/directory.ts';
import { isCleanupPending } from '../directory/phases.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { HostFacts } from '../../ports/host.ts';
import type { Ports } from '../../ports/ports.ts';
import { pinsOf } from '../recovery/plan.ts';
import type { SandboxView } from '../directory/views.ts';
import { sweepImages } from './sweep-images.ts';
import type { Sweeping } from './sweeping.ts';

/** Retries cleanup that is pending, undoes what nobody came for, stops broken sandboxes, deletes unused layers and what nobody resumes. */
export async function sweepOnce(sweeping: Sweeping, fx: EffectContext): Promise<void> {
  retryCleanup(sweeping.directory);
  undoUnclaimed(sweeping);
  // neither must wait for the other's mending
  const results = await Promise.allSettled([
    stopBroken(sweeping, fx),
    sweepImages(sweeping, fx),
    retryDebris(sweeping, fx),
  ]);
  const failed = results.find((one) => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** What could not be deleted is tried again, slowly: an administrator may have taken away what hindered it (F89). */
async function retryDebris(sweeping: Sweeping, fx: EffectContext): Promise<void> {
  const { clock, storage } = sweeping.ports;
  const now = clock.monoMs();
  sweeping.debrisAt ??= now;
  if (now - sweeping.debrisAt < actorLimits.debrisMs) return;
  sweeping.debrisAt = now;
  // what is left of downloads is looked for with the layers
  sweeping.layersChanged = true;
  await storage.removePartials(fx);
}

function retryCleanup(directory: Directory): void {
  for (const { cleanupPending, settled, address } of directory.containers())
    if (cleanupPending && settled) directory.send(address, { type: 'janitor.retry' });
  for (const { cleanupPending, settled, address } of directory.sandboxes())
    if (cleanupPending && settled) directory.send(address, { type: 'janitor.retry' });
}

/** A container whose id nobody was handed is undone after two minutes (house rule 3.1). */
function undoUnclaimed(sweeping: Sweeping): void {
  const { directory, unclaimed, ports } = sweeping;
  const now = ports.clock.monoMs();
  const waiting = directory
    .containers()
    .filter((view) => !view.claimed && view.settled && !isCleanupPending(view));
  const addresses = new Set<string>(waiting.map((view) => view.address));
  for (const address of unclaimed.keys()) if (!addresses.has(address)) unclaimed.delete(address);
  for (const view of waiting) {
    const since = unclaimed.get(view.address) ?? now;
    unclaimed.set(view.address, since);
    if (now - since >= actorLimits.unclaimedMs) directory.send(view.address, { type: 'container.abandon' });
  }
}

/**
 * A ready sandbox that lost its pause process or a pinned namespace can't be made whole again, since its containers
 * live in what is lost: it is told as not ready, and the kubelet makes another (F57, F85). What can't be looked at is
 * not lost: the look fails as a whole, and the next round looks again.
 */
async function stopBroken({ directory, ports }: Sweeping, fx: EffectContext): Promise<void> {
  // taken before the look: what was ready by then had all its parts, and a stop under way takes no notice
  const ready = directory.sandboxes().filter(isAtRest);
  if (ready.length === 0) return;
  fx.note({ on: 'namespaces and pause processes of ready sandboxes' });
  const facts = await ports.host.observe(fx);
  for (const view of ready) {
    const why = lossOf(view, facts, ports);
    const now = directory.sandbox(view.id);
    if (why === undefined || now === undefined || !isAtRest(now)) continue;
    ports.log.warn({ sandbox: view.id, reason: why }, 'a sandbox is broken and will be stopped');
    directory.send(view.address, { type: 'sandbox.broken', why });
  }
}

/** Ready, and no stop of it is under way. */
function isAtRest({ ready, settled }: SandboxView): boolean {
  return ready && settled;
}

function lossOf({ id, spec, pause }: SandboxView, facts: HostFacts, { runtime }: Ports): string | undefined {
  const seen = facts.sandboxes.find((one) => one.id === id);
  const lost = pinsOf(spec).filter((pin) => seen?.pins.includes(pin) !== true);
  if (lost.length > 0) return `its namespaces are not pinned any more: ${lost.join(', ')}`;
  return pause === undefined || runtime.isAlive(pause)
    ? undefined
    : `its pause process ${pause.pid} has ended`;
}
