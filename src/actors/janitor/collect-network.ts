/** The effect of the collector: CNI GC with every pod that anything still knows. */
import { toFault } from '../../base/fault.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { Ports } from '../../ports/ports.ts';
import type { CollectorContext } from './collector.machine.ts';

/**
 * Runs GC unless the network does not support it or was collected already. Valid are the sandboxes of the journal,
 * also those that are being removed, and those of which the node still has files or namespaces: without a journal,
 * recovery leaves such pods running (F18), and GC must not disconnect them. The driver adds the attachments that it
 * has stored.
 * @returns the network that is collected now
 */
export async function collectNetwork(
  { ports, ledger }: { readonly ports: Ports; readonly ledger: Ledger },
  { collected }: CollectorContext,
  fx: EffectContext,
): Promise<string | undefined> {
  const { network, host, log } = ports;
  const due = network.collectable();
  if (due === undefined || due === collected) return collected;
  try {
    fx.note({ on: 'files and namespaces of sandboxes' });
    const seen = (await host.observe(fx)).sandboxes.map(({ id }) => id);
    fx.signal.throwIfAborted();
    const sandboxes = new Set([...seen, ...ledger.sandboxes.keys()]);
    await network.collect([...sandboxes], fx);
    log.info({ network: due, sandboxes: sandboxes.size }, 'CNI GC: stale network resources removed');
    return due;
  } catch (thrown) {
    log.warn({ network: due, fault: toFault(thrown) }, 'CNI GC: failed, will be retried');
    throw thrown;
  }
}
