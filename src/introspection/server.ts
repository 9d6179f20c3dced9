/** Serves introspection over HTTP on a Unix socket of its own: whoever may look inside need not be able to act. */
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { introspectionLimits } from '../base/limits.ts';
import { withListText } from './list-text.ts';
import { introspectionRoutes } from './service.ts';
import type { IntrospectionOptions } from './service.ts';

export interface IntrospectionServerOptions extends IntrospectionOptions {
  /** Listens such that nobody else can connect at any moment; gives what removes the socket's file again. */
  readonly listen: (server: Server) => Promise<() => Promise<void>>;
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
  server.maxConnections = introspectionLimits.connections;
  const removeSocket = await options.listen(server);
  return {
    close: async () => {
      await removeSocket();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
