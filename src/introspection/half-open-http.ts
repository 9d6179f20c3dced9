/** Bounds on the connections of an HTTP server: their number, and the time to receive a request (S94). */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ClockPort } from '../ports/clock.ts';
import { HalfOpen } from '../base/half-open.ts';

export interface HttpBounds {
  readonly clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;
  /** Concurrent connections; one more is closed. */
  readonly connections: number;
  /** Concurrent connections without a complete request; one more closes the oldest. */
  readonly halfOpen: number;
}

/**
 * Closes connections that don't send a complete request, body included, in time, counted from the connection or from
 * the last answer. The time to answer is not bounded. Node's own timeout (`headersTimeout`) is checked only every 30 s,
 * and Node has no bound on the number. Returns a function that closes all connections: Node's `closeAllConnections`
 * does not know the connections of a server that does not listen itself.
 */
export function boundConnections(
  server: Server,
  { clock, connections, halfOpen: most }: HttpBounds,
): () => void {
  const all = new Set<Socket>();
  /** The last request of each connection, until it is answered. */
  const requests = new Map<Socket, IncomingMessage>();
  const halfOpen = new HalfOpen<Socket>({
    clock,
    most,
    cut: (socket) => {
      // a complete request is being served
      if (requests.get(socket)?.complete !== true) socket.destroy();
    },
    report: () => undefined,
  });
  // a TLS server reports the TCP connection, and later, for requests, a TLS socket on top of it
  const byPeer = new Map<string, Socket>();
  const tcpOf = new WeakMap<Socket, Socket>();
  server.prependListener('secureConnection', (secure: Socket) => {
    const tcp = byPeer.get(peerOf(secure));
    if (tcp !== undefined) tcpOf.set(secure, tcp);
  });
  server.prependListener('connection', (socket: Socket) => {
    if (all.size >= connections) {
      socket.destroy();
      return;
    }
    all.add(socket);
    const peer = peerOf(socket);
    byPeer.set(peer, socket);
    halfOpen.begin(socket);
    socket.on('close', () => {
      if (byPeer.get(peer) === socket) byPeer.delete(peer);
      all.delete(socket);
      requests.delete(socket);
      halfOpen.end(socket);
    });
  });
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const socket = tcpOf.get(request.socket) ?? request.socket;
    requests.set(socket, request);
    response.once('close', () => {
      // the next request may have arrived already
      if (requests.get(socket) !== request || !all.has(socket)) return;
      requests.delete(socket);
      halfOpen.begin(socket);
    });
  });
  return () => {
    halfOpen.close();
    for (const socket of [...all]) socket.destroy();
  };
}

function peerOf({ remoteAddress = '', remotePort = 0 }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
