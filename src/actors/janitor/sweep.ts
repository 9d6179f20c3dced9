/** One round of the janitor. */
import { actorLimits } from '../../base/limits.ts';
import type { Directory } from '../directory.ts';
import type { LayerBook } from '../images/layer-book.ts';
import type { EffectContext } from '../ports/effect.ts';
import type { Ports } from '../ports/ports.ts';

export interface Sweeping {
  readonly ports: Ports;
  readonly directory: Directory;
  readonly layers: LayerBook;
  /** Address of each unclaimed container and when the janitor first saw it, monotonic milliseconds. */
  readonly unclaimed: Map<string, number>;
  /** True when something may have left a layer without a user since the last round. */
  layersChanged: boolean;
}

/** Retries what is owed, undoes what nobody came for, deletes unused layers. */
export async function sweepOnce(sweeping: Sweeping, fx: EffectContext): Promise<void> {
  retryOwed(sweeping.directory);
  undoUnclaimed(sweeping);
  if (!sweeping.layersChanged) return;
  sweeping.layersChanged = false;
  fx.note({ on: 'layers that nobody uses' });
  try {
    const { layers } = await sweeping.ports.storage.observe(fx);
    await sweeping.layers.collect(layers, fx);
  } catch (thrown) {
    // the next round looks again
    sweeping.layersChanged = true;
    throw thrown;
  }
}

function retryOwed(directory: Directory): void {
  for (const view of [...directory.containers(), ...directory.sandboxes()]) {
    if (view.owes && view.settled) directory.ref(view.address)?.send({ type: 'janitor.retry' });
  }
}

/** A container whose id nobody was handed is undone after two minutes (house rule 3.1). */
function undoUnclaimed(sweeping: Sweeping): void {
  const { directory, unclaimed, ports } = sweeping;
  const now = ports.clock.monoMs();
  const waiting = directory.containers().filter((view) => !view.claimed && view.settled && view.state !== 'owing');
  const addresses = new Set(waiting.map((view) => view.address));
  for (const address of unclaimed.keys()) if (!addresses.has(address)) unclaimed.delete(address);
  for (const view of waiting) {
    const since = unclaimed.get(view.address) ?? now;
    unclaimed.set(view.address, since);
    if (now - since >= actorLimits.unclaimedMs) directory.ref(view.address)?.send({ type: 'container.abandon' });
  }
}
