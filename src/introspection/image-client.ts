/** Clients of a running daemon's CRI socket, for the commands that change something: introspection is read-only. */
import { createConnection } from 'node:net';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import type { Client } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { fault, FaultError } from '../base/fault.ts';
import type { FaultKind } from '../base/fault.ts';
import { ImageService, RuntimeService } from '../gen/runtime/v1/api_pb.ts';
import { errnoOf } from './client.ts';

export type ImageClient = Client<typeof ImageService>;
export type RuntimeClient = Client<typeof RuntimeService>;

/** A client of the image service at this Unix socket. It connects with its first call and sets no deadline. */
export function imageClient(socket: string): ImageClient {
  return createClient(ImageService, transportTo(socket));
}

/** The same for the runtime service. */
export function runtimeClient(socket: string): RuntimeClient {
  return createClient(RuntimeService, transportTo(socket));
}

function transportTo(socket: string): ReturnType<typeof createGrpcTransport> {
  return createGrpcTransport({
    // the host is ignored: the socket decides
    baseUrl: 'http://troupe',
    nodeOptions: { createConnection: () => createConnection({ path: socket }) },
    // 0 closes an idle connection at once, so that the command ends with its answer
    idleConnectionTimeoutMs: 0,
  });
}

/**
 * What a call of these clients rejected with, as a fault. The codes of an answer say nothing of whether the daemon can
 * be reached: PermissionDenied is about a registry.
 */
export function imageFault(thrown: unknown, socket: string): FaultError {
  const error = ConnectError.from(thrown);
  if (errnoOf(error) !== undefined)
    return new FaultError(fault('notReady', `no answer at the CRI socket ${socket}: ${error.rawMessage}`));
  return new FaultError(fault(KIND_OF[error.code] ?? 'outside', error.rawMessage));
}

const KIND_OF: Partial<Readonly<Record<Code, FaultKind>>> = {
  [Code.NotFound]: 'notFound',
  [Code.InvalidArgument]: 'invalidRequest',
  [Code.Canceled]: 'cancelled',
  // the daemon is still starting or already stopping, or the connection broke during the call
  [Code.Unavailable]: 'notReady',
  [Code.Aborted]: 'notReady',
};
