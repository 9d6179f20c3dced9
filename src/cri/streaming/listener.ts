/** What accepts the connections of streams: bound here, or given by systemd or another daemon. */
import { SocketAddress, isIPv6 } from 'node:net';
import type { Server as Listener } from 'node:net';
import type { Log } from '../../base/log.ts';
import { FaultError, fault, toFault } from '../../base/fault.ts';

export interface ListenerOptions {
  /** Address to listen on. */
  readonly address: string;
  /** Port to listen on; 0 for any free port. */
  readonly port: number;
  /**
   * Listening stream sockets from systemd or another daemon, owned by the server from now on. The first one at the
   * address and port is used; the others are closed. Without one that is, the port is bound as usual.
   */
  readonly given?: readonly number[];
  /** Called before the port is bound although descriptors were given: none of them was used. */
  readonly onUnfit?: () => Promise<void>;
  /** Called with what listens. */
  readonly onListening?: (listener: Listener) => void;
  readonly log: Log;
}

/** Listens with one that `make` makes. Throws FaultError when the address is not available. */
export async function listenForStreams(options: ListenerOptions, make: () => Listener): Promise<Listener> {
  const { address, port, given = [], onUnfit, onListening, log } = options;
  let listener: Listener | undefined;
  for (const fd of given) {
    const other = make();
    const reason = await listening(other, { fd }).then(
      () => (listener === undefined ? whyNotOurs(other, options) : 'not needed'),
      (thrown: unknown) => toFault(thrown).message,
    );
    if (reason === undefined) listener = other;
    else {
      other.close();
      log.warn({ reason }, `descriptor for streams on ${address} is not used`);
    }
  }
  if (listener === undefined) {
    if (given.length > 0) await onUnfit?.();
    listener = make();
    try {
      await listening(listener, { port, host: address });
    } catch (thrown) {
      const { message } = toFault(thrown);
      throw new FaultError(fault('outside', `listen for streams on ${address}: ${message}`));
    }
  }
  listener.on('error', (error) => log.error({ error: error.message }, 'serve streams'));
  onListening?.(listener);
  return listener;
}

function whyNotOurs(listener: Listener, { address, port }: ListenerOptions): string | undefined {
  const found = listener.address();
  if (typeof found !== 'object' || found === null) return 'not a TCP socket';
  // as the kernel writes it: an IPv6 address has several forms
  const wanted = new SocketAddress({ address, family: isIPv6(address) ? 'ipv6' : 'ipv4' }).address;
  if (found.address === wanted && (port === 0 || found.port === port)) return undefined;
  return `listens on ${found.address} port ${found.port}`;
}

function listening(
  listener: Listener,
  at: { readonly fd: number } | { readonly port: number; readonly host: string },
): Promise<void> {
  return new Promise((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(at, () => {
      listener.off('error', reject);
      resolve();
    });
  });
}
