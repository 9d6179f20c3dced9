/** Client of a running daemon's CRI socket, for the commands that change images: introspection is read-only. */
import { createConnection } from 'node:net';
import { createClient } from '@connectrpc/connect';
import type { Client } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { ImageService } from '../gen/runtime/v1/api_pb.ts';

export type ImageClient = Client<typeof ImageService>;

/** A client of the image service at this Unix socket. It connects with its first call and sets no deadline. */
export function imageClient(socket: string): ImageClient {
  return createClient(
    ImageService,
    createGrpcTransport({
      // the host is ignored: the socket decides
      baseUrl: 'http://troupe',
      nodeOptions: { createConnection: () => createConnection({ path: socket }) },
      // 0 closes an idle connection at once, so that the command ends with its answer
      idleConnectionTimeoutMs: 0,
    }),
  );
}
