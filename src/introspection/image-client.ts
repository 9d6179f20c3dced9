/** Asks a running daemon over its CRI socket, for the commands that change something: introspection itself only looks. */
import { createConnection } from 'node:net';
import { createClient } from '@connectrpc/connect';
import type { Client } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { ImageService } from '../gen/runtime/v1/api_pb.ts';

export type ImageClient = Client<typeof ImageService>;

/** A client of the image service at this Unix socket; connects with its first call, and has no deadline of its own. */
export function imageClient(socket: string): ImageClient {
  return createClient(
    ImageService,
    createGrpcTransport({
      // the host is not looked at: the socket decides
      baseUrl: 'http://troupe',
      nodeOptions: { createConnection: () => createConnection({ path: socket }) },
      // the command ends with its answer, not when an idle connection is given up
      idleConnectionTimeoutMs: 0,
    }),
  );
}
