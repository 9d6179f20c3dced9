/** Client of a running daemon's introspection service. */
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import type { Client } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { fail } from '../base/fault.ts';
import { Introspection } from '../gen/introspection/v1/introspection_pb.ts';

export type IntrospectionClient = Client<typeof Introspection>;

/** A client of the service at this Unix socket; it connects for each call. */
export function introspectionClient(socket: string, callMs: number): IntrospectionClient {
  const transport = createConnectTransport({
    // the host is ignored: the socket decides
    baseUrl: 'http://troupe',
    httpVersion: '1.1',
    // the daemon keeps the texts of List, and would encode thousands of binary actors at once (list-text.ts)
    useBinaryFormat: false,
    nodeOptions: { socketPath: socket },
    defaultTimeoutMs: callMs,
  });
  return createClient(Introspection, transport);
}

/**
 * Why a call failed. `unreachable`: nobody listens, or the connection broke; `forbidden`: the socket may not be opened;
 * `late`: the daemon did not answer within the client's deadline.
 */
export type CallProblem =
  | 'unreachable'
  | 'forbidden'
  | 'late'
  | 'notFound'
  | 'usage'
  | 'overflown'
  | 'forgotten'
  | 'failed';

/** True for the errors with which a call of this client rejects. */
export function isCallError(thrown: unknown): boolean {
  return thrown instanceof ConnectError;
}

/** Why a call failed, by the error it rejected with. */
export function problemOf(thrown: unknown): { readonly problem: CallProblem; readonly message: string } {
  const error = ConnectError.from(thrown);
  const message = error.rawMessage;
  const errno = errnoOf(error);
  if (errno === 'EACCES' || errno === 'EPERM') return { problem: 'forbidden', message };
  if (errno !== undefined) return { problem: 'unreachable', message };
  switch (error.code) {
    case Code.NotFound:
      return { problem: 'notFound', message };
    case Code.InvalidArgument:
      return { problem: 'usage', message };
    case Code.ResourceExhausted:
      return { problem: 'overflown', message };
    case Code.OutOfRange:
      return { problem: 'forgotten', message };
    case Code.Unavailable:
    case Code.Aborted:
      return { problem: 'unreachable', message };
    case Code.DeadlineExceeded:
      return { problem: 'late', message };
    default:
      return { problem: 'failed', message };
  }
}

/** Node's name for why a connection failed: ENOENT, ECONNREFUSED, EACCES, ECONNRESET. None when the daemon answered. */
export function errnoOf({ cause }: ConnectError): string | undefined {
  const code = cause instanceof Error ? (cause as { readonly code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

export type PlainJson = null | boolean | number | string | PlainJson[] | { [key: string]: PlainJson };

/**
 * A message as JSON for scripts, with the fields of the .proto in lowerCamelCase. Times in nanoseconds are strings,
 * since JSON readers would round them; other integers are numbers.
 */
export function plainOf(message: unknown, key = ''): PlainJson {
  if (message === undefined || message === null) return null;
  if (typeof message === 'bigint') return key.endsWith('Ns') ? message.toString() : Number(message);
  if (typeof message === 'string' || typeof message === 'number' || typeof message === 'boolean')
    return message;
  if (Array.isArray(message)) return message.map((item) => plainOf(item, key));
  if (typeof message !== 'object')
    return fail('bug', `encode a message as JSON: it contains a ${typeof message}`);
  const out: { [key: string]: PlainJson } = {};
  for (const [name, value] of Object.entries(message))
    if (!name.startsWith('$')) out[name] = plainOf(value, name);
  return out;
}
