/** A server on a socket of its own, and a client on it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CallOptions, ClientUnaryCall, ServiceError } from '@grpc/grpc-js';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { onTestFinished } from 'vitest';
import type { Log } from '../../../src/base/log.ts';
import { silentLog } from '../../../src/base/log.ts';
import type { CriServer, UnaryHandler } from '../../../src/cri/call/server.ts';
import { startCriServer } from '../../../src/cri/call/server.ts';
import { listenPrivately } from '../../../src/host/io/private-socket.ts';
import type { SocketPeer } from '../../../src/host/io/socket-peer.ts';
import { HandTimers } from '../../support/hand-clock.ts';

export const version = 'runtime.v1.RuntimeService/Version';

/** A directory that goes when the test ends. */
export function scratchDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-cri-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export interface Served {
  readonly server: CriServer;
  readonly client: TestClient;
  readonly clock: HandTimers;
  readonly socketPath: string;
}

export async function serve(
  methods: Readonly<Record<string, UnaryHandler>>,
  options: { socketPath?: string; log?: Log; onTaken?: (listener: SocketPeer) => void } = {},
): Promise<Served> {
  const socketPath = options.socketPath ?? join(scratchDirectory(), 'cri.sock');
  const clock = new HandTimers();
  const log = options.log ?? silentLog;
  const { onTaken = () => undefined } = options;
  const listen: Parameters<typeof startCriServer>[0]['listen'] = (onConnection) =>
    listenPrivately({ path: socketPath, clock, log, onConnection, onTaken });
  const server = await startCriServer({ listen, methods, clock, log });
  onTestFinished(() => server.close());
  return { server, client: clientOn(socketPath), clock, socketPath };
}

export interface Outcome {
  readonly code: number;
  readonly details: string;
  readonly bytes: Buffer;
}

export class TestClient {
  readonly #client: Client;
  constructor(socketPath: string) {
    this.#client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      'grpc.enable_http_proxy': 0,
      'grpc.enable_retries': 0,
      // no pool shared between tests
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /** Starts a unary call; `outcome` never rejects. */
  start(
    rpc: string,
    request: Uint8Array = new Uint8Array(),
    options: CallOptions & { headers?: Record<string, string> } = {},
  ): { call: ClientUnaryCall; outcome: Promise<Outcome> } {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(options.headers ?? {})) metadata.set(name, value);
    const { promise: outcome, resolve } = Promise.withResolvers<Outcome>();
    const call = this.#client.makeUnaryRequest(
      `/${rpc}`,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes: Buffer) => bytes,
      request,
      metadata,
      options,
      (error: ServiceError | null, bytes?: Buffer) => {
        resolve({ code: error?.code ?? 0, details: error?.details ?? '', bytes: bytes ?? Buffer.alloc(0) });
      },
    );
    return { call, outcome };
  }

  unary(...args: Parameters<TestClient['start']>): Promise<Outcome> {
    return this.start(...args).outcome;
  }

  /** The end of a server stream that answers nothing. */
  stream(rpc: string): Promise<Outcome> {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const call = this.#client.makeServerStreamRequest(
      `/${rpc}`,
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      Buffer.alloc(0),
    );
    call.on('data', () => undefined);
    call.on('error', (error: ServiceError) =>
      resolve({ code: error.code, details: error.details, bytes: Buffer.alloc(0) }),
    );
    return promise;
  }

  close(): void {
    this.#client.close();
  }
}

export function clientOn(socketPath: string): TestClient {
  const client = new TestClient(socketPath);
  onTestFinished(() => client.close());
  return client;
}

/** One call by hand over HTTP/2, for what no client library would send; gives gRPC's status code. */
export async function rawCall(
  socketPath: string,
  path: string,
  headers: Record<string, string>,
  body: Buffer,
): Promise<string> {
  const session = connectHttp2('http://localhost', { createConnection: () => connect(socketPath) });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  session.on('error', reject);
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  stream.on('error', reject);
  stream.on('response', (answer) => {
    if (answer['grpc-status'] !== undefined) resolve(String(answer['grpc-status']));
  });
  stream.on('trailers', (trailers) => resolve(String(trailers['grpc-status'])));
  stream.resume();
  stream.end(body);
  try {
    return await promise;
  } finally {
    session.destroy();
  }
}
