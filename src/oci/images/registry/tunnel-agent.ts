/**
 * Pool of TLS connections through a proxy. Node opens the tunnel (CONNECT, then TLS in it), and gives a request its
 * socket only when both are done: until then nothing of Node's ends the opening, so the sockets to the proxy are kept
 * here.
 */
import type * as http from 'node:http';
import * as https from 'node:https';
import type { Duplex } from 'node:stream';

/** Options of a request for this pool. */
export interface TunnelOptions extends https.RequestOptions {
  /** Called with the socket to the proxy if the request opens a tunnel. */
  readonly onOpening?: (socket: Duplex) => void;
}

export interface TunnelBounds extends https.AgentOptions {
  readonly proxyEnv: http.ProxyEnv;
}

export class TunnelAgent extends https.Agent {
  /** Sockets to the proxy that are no tunnel yet. */
  readonly #opening = new Set<Duplex>();

  /**
   * Its sockets are not limited in number. Node counts a tunnel only when it is open, and a request that waits for one
   * of the counted is forgotten where the tunnel that is opened for it fails. The pulls under way are the limit.
   */
  constructor(bounds: TunnelBounds) {
    super({ ...bounds, maxSockets: Infinity, maxTotalSockets: Infinity });
  }

  override createConnection(
    options: TunnelOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    let isDone = false;
    const done = (error: Error | null, stream: Duplex): void => {
      if (isDone) return;
      isDone = true;
      this.#opening.delete(socket);
      callback?.(error, stream);
    };
    const socket = super.createConnection(options, done) as Duplex;
    this.#opening.add(socket);
    // Node listens to it only until the proxy's answer, and not for its close, which would leave the request waiting
    socket.on('error', () => undefined);
    socket.once('close', () => done(new Error('the connection to the proxy was closed'), socket));
    options.onOpening?.(socket);
    return socket;
  }

  override destroy(): void {
    for (const socket of this.#opening) socket.destroy();
    super.destroy();
  }
}
