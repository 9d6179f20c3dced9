/**
 * Serves introspection over HTTP on a Unix socket of its own, so that users who may read it need no access to the CRI
 * socket.
 */
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { halfOpenLimits } from '../base/bounds.ts';
import { introspectionLimits } from './bounds.ts';
import { boundConnections } from './half-open-http.ts';
import { withListText } from './list-text.ts';
import { introspectionRoutes } from './service.ts';
import type { IntrospectionOptions } from './service.ts';

export interface IntrospectionServerOptions extends IntrospectionOptions {
  /** Listens on a socket that at no moment another user can connect to; `close` removes its file. */
  readonly listen: (onConnection: (socket: Socket) => void) => Promise<{ close(): Promise<void> }>;
}

export interface IntrospectionServer {
  close(): Promise<void>;
}

/** Serves until closed. Throws FaultError when another process listens on the socket, or it can't be created. */
export async function startIntrospection(options: IntrospectionServerOptions): Promise<IntrospectionServer> {
  const handler = connectNodeAdapter({
    routes: introspectionRoutes(options),
    readMaxBytes: introspectionLimits.requestBytes,
    // only the connect protocol, which works over HTTP/1.1 with streams
    grpc: false,
    grpcWeb: false,
  });
  const server = createServer(withListText(options, handler));
  // clients (commands, people) have one connection each, so the half-open bound of the page is enough
  const dropAll = boundConnections(server, {
    clock: options.clock,
    connections: introspectionLimits.connections,
    halfOpen: halfOpenLimits.pageConnections,
  });
  const socket = await options.listen((connection) => void server.emit('connection', connection));
  return {
    close: async () => {
      await socket.close();
      dropAll();
    },
  };
}
