/** Bounds for the connections of an HTTP server: how many, and how long a request may take to come (S94). */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ClockPort } from '../ports/clock.ts';
import { HalfOpen } from '../base/half-open.ts';

export interface HttpBounds {
  readonly clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;
  /** Connections in all; one more is dropped. */
  readonly connections: number;
  /** Of these without a whole request; one more cuts the oldest. */
  readonly halfOpen: number;
}

/**
 * A connection is cut that has not sent a whole request in its time, its body included, or none after its last answer.
 * An answer may take as long as it likes. Node's own bounds (`headersTimeout`) are checked every 30 s, and know no
 * number. Gives what drops all connections: Node's `closeAllConnections` knows none of a server that does not listen itself.
 */
export function boundConnections(
  server: Server,
  { clock, connections, halfOpen: most }: HttpBounds,
): () => void {
  const all = new Set<Socket>();
  /** The last request of each, until it is answered. */
  const requests = new Map<Socket, IncomingMessage>();
  const halfOpen = new HalfOpen<Socket>({
    clock,
    most,
    cut: (socket) => {
      // else it is served
      if (requests.get(socket)?.complete !== true) socket.destroy();
    },
    report: () => undefined,
  });
  server.prependListener('connection', (socket: Socket) => {
    if (all.size >= connections) {
      socket.destroy();
      return;
    }
    all.add(socket);
    halfOpen.begin(socket);
    socket.on('close', () => {
      all.delete(socket);
      requests.delete(socket);
      halfOpen.end(socket);
    });
  });
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    requests.set(socket, request);
    response.once('close', () => {
      // another one may have come behind it
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
