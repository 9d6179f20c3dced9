/** One round of the janitor. */
import { actorLimits } from '../bounds.ts';
import type { Directory } from '../directory/directory.ts';
import { isCleanupPending } from '../directory/phases.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { HostSandbox } from '../../ports/host.ts';
import type { Ports } from '../../ports/ports.ts';
import { pinsOf } from '../recovery/plan.ts';
import type { SandboxView } from '../directory/views.ts';
import { sweepImages } from './sweep-images.ts';
import type { Sweeping } from './sweeping.ts';

/**
 * Retries pending cleanup, undoes unclaimed containers, stops broken sandboxes, deletes unused layers and interrupted
 * pulls.
 * @throws the first failure, after all parts have ended
 */
export async function sweepOnce(sweeping: Sweeping, fx: EffectContext): Promise<void> {
  retryCleanup(sweeping.directory);
  undoUnclaimed(sweeping);
  // all at once: a part that hangs or fails must not hold up the others
  const results = await Promise.allSettled([
    stopBroken(sweeping, fx),
    sweepImages(sweeping, fx),
    retryDebris(sweeping, fx),
    deleteRootfs(sweeping, fx),
  ]);
  const failed = results.find((one) => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** Every `debrisMs`, retries what could not be deleted: an administrator may have removed the obstacle (F89). */
async function retryDebris(sweeping: Sweeping, fx: EffectContext): Promise<void> {
  const { clock, storage } = sweeping.ports;
  const now = clock.monoMs();
  sweeping.debrisAt ??= now;
  if (now - sweeping.debrisAt < actorLimits.debrisMs) return;
  sweeping.debrisAt = now;
  // the scan of layers also deletes partial downloads
  sweeping.layersChanged = true;
  await storage.removePartials(fx);
}

/** Deletes the root file systems of no container; after a failure, every `debrisMs`. */
async function deleteRootfs(sweeping: Sweeping, fx: EffectContext): Promise<void> {
  const { ports, rootfsLeft, rootfsFailedAt } = sweeping;
  const now = ports.clock.monoMs();
  if (rootfsFailedAt !== undefined && now - rootfsFailedAt < actorLimits.debrisMs) return;
  // until the last one is deleted
  sweeping.rootfsFailedAt = rootfsLeft.size > 0 ? now : undefined;
  for (const id of rootfsLeft) {
    fx.signal.throwIfAborted();
    await ports.storage.removeRootfs({ id, layers: [] }, fx);
    rootfsLeft.delete(id);
  }
  sweeping.rootfsFailedAt = undefined;
}

function retryCleanup(directory: Directory): void {
  for (const { cleanupPending, settled, address } of directory.containers())
    if (cleanupPending && settled) directory.send(address, { type: 'janitor.retry' });
  for (const { cleanupPending, settled, address } of directory.sandboxes())
    if (cleanupPending && settled) directory.send(address, { type: 'janitor.retry' });
}

/** Undoes containers that no client claimed within `unclaimedMs`: no client knows their ids. */
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
 * Stops ready sandboxes that lost their pause process or a pinned namespace. They can't be repaired, because their
 * containers run in what is lost: they become not ready, and the kubelet creates new ones (F57, F85). If the host can't
 * be read, nothing counts as lost: the round fails, and the next one reads it again.
 */
async function stopBroken({ directory, ports }: Sweeping, fx: EffectContext): Promise<void> {
  // listed before the host is read: these had all their parts by then. A sandbox that is stopping ignores the event
  const ready = directory.sandboxes().filter(isAtRest);
  if (ready.length === 0) return;
  fx.note({ on: 'namespaces and pause processes of ready sandboxes' });
  const facts = await ports.host.observe(fx);
  const seen = new Map(facts.sandboxes.map((one) => [one.id, one]));
  for (const view of ready) {
    const why = lossOf(view, seen.get(view.id), ports);
    const now = directory.sandbox(view.id);
    if (why === undefined || now === undefined || !isAtRest(now)) continue;
    ports.log.warn({ sandbox: view.id, reason: why }, 'stop broken sandbox');
    directory.send(view.address, { type: 'sandbox.broken', why });
  }
}

/** Ready, and no stop is in progress. */
function isAtRest({ ready, settled }: SandboxView): boolean {
  return ready && settled;
}

function lossOf(
  { spec, pause }: SandboxView,
  seen: HostSandbox | undefined,
  { runtime }: Ports,
): string | undefined {
  const lost = pinsOf(spec).filter((pin) => seen?.pins.includes(pin) !== true);
  if (lost.length > 0) return `namespaces no longer pinned: ${lost.join(', ')}`;
  return pause === undefined || runtime.isAlive(pause) ? undefined : `pause process ${pause.pid} has exited`;
}
