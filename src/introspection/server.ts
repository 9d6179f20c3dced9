/** Serves introspection over HTTP on a Unix socket of its own: whoever may look inside need not be able to act. */
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
  /** Takes connections such that nobody else can connect at any moment; `close` removes the socket's file again. */
  readonly listen: (onConnection: (socket: Socket) => void) => Promise<{ close(): Promise<void> }>;
}

export interface IntrospectionServer {
  close(): Promise<void>;
}

/** Serves until closed. Throws FaultError when the socket is another's, or can't be made. */
export async function startIntrospection(options: IntrospectionServerOptions): Promise<IntrospectionServer> {
  const handler = connectNodeAdapter({
    routes: introspectionRoutes(options),
    readMaxBytes: introspectionLimits.requestBytes,
    // the connect protocol alone: it works over HTTP/1.1, streams included
    grpc: false,
    grpcWeb: false,
  });
  const server = createServer(withListText(options, handler));
  // the page, a scraper and people have one connection each
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
