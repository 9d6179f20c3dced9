/**
 * Serves both CRI services on a Unix socket, and drains them. This file and `relay.ts` alone use the RPC library
 * (grpc-js). It passes requests and answers as bytes: `edge.ts` decodes them.
 */
import type { Http2Server, IncomingHttpHeaders } from 'node:http2';
import type { Socket } from 'node:net';
import type { DescMethod } from '@bufbuild/protobuf';
import type { sendUnaryData, ServerUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import { Metadata, Server, ServerCredentials } from '@grpc/grpc-js';
import type { ClockPort } from '../../ports/clock.ts';
import { LazyAbort, unlessAborted } from '../../base/abort.ts';
import { assert } from '../../base/assert.ts';
import { fault, FaultError, toFault } from '../../base/fault.ts';
import { edgeLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import { ImageService, RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import { DEADLINE_HEADER, noteDeadline } from './call-deadline.ts';
import { type CallHeaders, headersOf } from './call-headers.ts';
import { Connections } from './connections.ts';
import { MovedMessage } from './moved-message.ts';
import type { Status } from './status.ts';
import { grpcCode, RpcError, toStatus } from './status.ts';

/** What a handler knows about its call beside the bytes of the request. */
export interface CallContext extends CallHeaders {
  /**
   * Aborts when the client has disconnected or cancelled (`cancelled`), its deadline has passed (`timedOut`) or the
   * server closes (`notReady`), with a FaultError as reason; never after the handler has settled.
   */
  readonly signal: AbortSignal;
  /** Aborts once the answer was sent, or the client no longer waits for it. */
  readonly over?: AbortSignal;
  /** The client's deadline (ClockPort.monoMs). */
  readonly deadlineMonoMs?: number;
}

/** The handler of one unary RPC. It throws RpcError with the status; anything else thrown is answered Internal. */
export type UnaryHandler = (request: Uint8Array, call: CallContext) => Promise<Uint8Array | MovedMessage>;

/**
 * The handler of one server-streaming RPC. The stream ends with OK when it resolves, otherwise as for UnaryHandler.
 * `write` settles once the kernel has the message, so that a slow client slows its handler; it rejects with the
 * signal's reason once the call has ended.
 */
export type StreamHandler = (
  request: Uint8Array,
  call: CallContext,
  write: (message: Uint8Array) => Promise<void>,
) => Promise<void>;

export interface CriServerOptions {
  /** Begins to accept connections. Rejects when another process listens on the socket, or it can't be created. */
  readonly listen: (onConnection: (socket: Socket) => void) => Promise<ListeningSocket>;
  /**
   * Handlers by full method name, such as `runtime.v1.RuntimeService/Version`. An RPC without a handler is
   * Unimplemented.
   */
  readonly methods: Readonly<Record<string, UnaryHandler>>;
  /** Handlers of server-streaming RPCs, as `methods`. */
  readonly streams?: Readonly<Record<string, StreamHandler>>;
  readonly clock: ClockPort;
  readonly log: Log;
}

export interface ListeningSocket {
  /** Removes the socket's file if it is still ours, then accepts no more connections. Repeatable. */
  close(): Promise<void>;
}

export interface CriServer {
  /**
   * Refuses new calls with Unavailable, ends streams with it, waits at most `graceMs` (default `edgeLimits.drainMs`)
   * for calls in flight, then closes. Repeatable; the first call's `graceMs` applies.
   */
  drain(graceMs?: number): Promise<void>;
  /** Asks clients to connect anew, which another daemon accepts; calls in flight go on. */
  sendAway(): void;
  /** Calls and streams in flight, and connections. */
  readonly counts: { readonly calls: number; readonly connections: number };
  /** Aborts calls in flight, closes all connections and removes the socket file if it is still ours. Repeatable. */
  close(): Promise<void>;
}

/** Serves until closed. Throws FaultError when another process listens on the socket, or it can't be created. */
export async function startCriServer(options: CriServerOptions): Promise<CriServer> {
  const server = new GrpcOverSocket(options);
  await server.open();
  return server;
}

type UnaryCall = ServerUnaryCall<Buffer, Buffer>;

class GrpcOverSocket implements CriServer {
  readonly #options: CriServerOptions;
  readonly #grpc: Server;
  readonly #injector: ReturnType<Server['createConnectionInjector']>;
  readonly #connections: Connections;
  readonly #inFlight = new Set<LazyAbort>();
  readonly #streams = new Set<LazyAbort>();
  /** Called when the last call in flight has ended. A drain waits for it. */
  #onIdle: () => void = () => undefined;
  #socket: ListeningSocket | undefined;
  #draining: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: CriServerOptions) {
    this.#options = options;
    this.#grpc = new Server({
      'grpc.max_receive_message_length': edgeLimits.receiveBytes,
      'grpc.max_send_message_length': edgeLimits.sendBytes,
      'grpc.max_concurrent_streams': edgeLimits.streamsPerConnection,
      'grpc.keepalive_time_ms': edgeLimits.keepaliveMs,
      'grpc.keepalive_timeout_ms': edgeLimits.keepaliveTimeoutMs,
      'grpc.enable_channelz': 0,
    });
    this.#register();
    allowResets(this.#grpc);
    this.#injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
    const http2 = http2ServerOf(this.#grpc);
    readDeadlines(http2, options.clock);
    this.#connections = new Connections({
      ...options,
      inject: (socket) => this.#injector.injectConnection(socket),
    });
    this.#connections.watch(http2);
  }

  async open(): Promise<void> {
    this.#socket = await this.#options.listen((socket) => this.#connections.accept(socket));
  }

  sendAway(): void {
    this.#connections.sendAway();
  }

  get counts(): CriServer['counts'] {
    return { calls: this.#inFlight.size + this.#streams.size, connections: this.#connections.size };
  }

  drain(graceMs: number = edgeLimits.drainMs): Promise<void> {
    return (this.#draining ??= this.#drain(graceMs));
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #drain(graceMs: number): Promise<void> {
    // event streams end only with their client
    this.#abort(this.#streams);
    if (this.#inFlight.size > 0) await this.#within(graceMs, (done) => (this.#onIdle = done));
    this.#abort(this.#inFlight);
    await this.#stopListening();
    // sends GOAWAY and waits for answers being sent; after flushMs it closes what is left
    this.#injector.drain(edgeLimits.flushMs);
    if (this.#connections.size > 0)
      await this.#within(edgeLimits.flushMs, (done) => this.#connections.whenNone(done));
    await this.close();
  }

  async #close(): Promise<void> {
    this.#draining ??= Promise.resolve();
    for (const calls of [this.#inFlight, this.#streams]) this.#abort(calls);
    await this.#stopListening();
    this.#injector.destroy();
    this.#connections.close();
  }

  #stopListening(): Promise<void> {
    this.#stopping ??= (this.#socket?.close() ?? Promise.resolve()).catch((error: unknown) => {
      this.#options.log.warn({ fault: toFault(error) }, 'close the CRI socket');
    });
    return this.#stopping;
  }

  #abort(calls: ReadonlySet<LazyAbort>): void {
    for (const call of calls) call.abort(new FaultError(fault('notReady', 'troupe is stopping')));
  }

  /** Waits until `subscribe`'s argument `done` is called, at most `ms`. */
  async #within(ms: number, subscribe: (done: () => void) => void): Promise<void> {
    const { clock } = this.#options;
    await new Promise<void>((resolve) => {
      const timer = clock.setTimeout(resolve, ms);
      subscribe(() => resolve(clock.clearTimeout(timer)));
    });
  }

  #register(): void {
    const unused = new Map<string, UnaryHandler>(Object.entries(this.#options.methods));
    const unusedStreams = new Map<string, StreamHandler>(Object.entries(this.#options.streams ?? {}));
    for (const service of [RuntimeService, ImageService]) {
      for (const rpc of service.methods as readonly DescMethod[]) {
        const name = `${service.typeName}/${rpc.name}`;
        const [handler, streamer] = [unused.get(name), unusedStreams.get(name)];
        for (const table of [unused, unusedStreams]) table.delete(name);
        const streaming = rpc.methodKind !== 'unary';
        assert(
          !(streaming && handler !== undefined),
          `a unary handler was given for the streaming RPC ${name}`,
        );
        assert(
          streaming || streamer === undefined,
          `a streaming handler was given for the unary RPC ${name}`,
        );
        if (streaming)
          this.#grpc.register(
            `/${name}`,
            (call: Writable) => void this.#serveStream(rpc.name, streamer, call),
            same,
            same,
            'serverStream',
          );
        else
          this.#grpc.register(
            `/${name}`,
            (call: UnaryCall, answer: Answer) => void this.#serve(rpc.name, handler, call, answer),
            same,
            same,
            'unary',
          );
      }
    }
    const unknown = [...unused.keys(), ...unusedStreams.keys()];
    assert(unknown.length === 0, `handlers for RPCs that the contract doesn't have: ${unknown.join(', ')}`);
  }

  /** Serves one call. Never rejects: an error of a handler ends only its call. */
  async #serve(
    rpc: string,
    handler: UnaryHandler | undefined,
    call: UnaryCall,
    answer: Answer,
  ): Promise<void> {
    if (this.#draining !== undefined) return answer(wireStatus(stopping(rpc)));
    if (handler === undefined) return answer(wireStatus(unimplemented(rpc)));
    const { abort, context } = this.#begin(rpc, call, this.#inFlight);
    try {
      const message = await handler(call.request, context);
      // a MovedMessage has what the library reads of a buffer
      answer(null, message instanceof MovedMessage ? (message as never) : asBuffer(message));
    } catch (thrown) {
      answer(wireStatus(this.#statusOf(rpc, thrown)));
    } finally {
      this.#inFlight.delete(abort);
      if (this.#inFlight.size === 0) this.#onIdle();
    }
  }

  /** As `#serve`, for a stream. */
  async #serveStream(rpc: string, handler: StreamHandler | undefined, call: Writable): Promise<void> {
    if (this.#draining !== undefined || handler === undefined) {
      return void call.emit(
        'error',
        wireStatus(this.#draining === undefined ? unimplemented(rpc) : stopping(rpc)),
      );
    }
    const { abort, context } = this.#begin(rpc, call, this.#streams);
    try {
      const done = handler(call.request, context, (message) => written(call, message, abort.signal));
      // the headers show the client that the stream is open: it misses no event from now on. Those of a recovery are no
      // matter to it, since no list is answered before
      call.sendMetadata(new Metadata());
      await done;
      call.end();
    } catch (thrown) {
      call.emit('error', wireStatus(this.#statusOf(rpc, thrown)));
    } finally {
      this.#streams.delete(abort);
    }
  }

  #begin(
    rpc: string,
    call: UnaryCall | Writable,
    calls: Set<LazyAbort>,
  ): { abort: LazyAbort; context: CallContext } {
    const abort = new LazyAbort();
    const over = new LazyAbort();
    const context = callContext(call, abort, over);
    // the library emits "cancelled" after a successful end too, when the stream closes
    call.on('cancelled', () => {
      over.abort(OVER);
      if (calls.has(abort)) abort.abort(new FaultError(this.#gone(rpc, context.deadlineMonoMs)));
    });
    calls.add(abort);
    return { abort, context };
  }

  #gone(rpc: string, deadlineMonoMs: number | undefined): ReturnType<typeof fault> {
    // a client cancels when its own timer fires, some milliseconds before or after the deadline that we computed
    if (
      deadlineMonoMs !== undefined &&
      this.#options.clock.monoMs() >= deadlineMonoMs - edgeLimits.deadlineMarginMinMs
    ) {
      return fault('timedOut', `${rpc}: the caller's deadline has passed`);
    }
    return fault('cancelled', `${rpc}: the caller has gone`);
  }

  #statusOf(rpc: string, thrown: unknown): Status {
    if (thrown instanceof RpcError) return thrown.status;
    const error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    this.#options.log.error({ rpc, error }, 'serve an RPC: uncaught error');
    return { code: 'internal', message: `${rpc}: internal error` };
  }
}

/** A reason of our own: Node would make an error with its stack for each call, a fifteenth of a short call's time. */
const OVER = 'the call is over';

type Answer = sendUnaryData<Buffer>;
type Writable = ServerWritableStream<Buffer, Buffer>;

function same(bytes: Buffer): Buffer {
  return bytes;
}

function unimplemented(rpc: string): Status {
  return toStatus(fault('unsupported', `RPC ${rpc} is not implemented by this version of troupe`), '');
}

function stopping(rpc: string): Status {
  return toStatus(fault('notReady', `${rpc}: troupe is stopping`), '');
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Settles when the message was sent: the library queues what exceeds the client's flow-control window. */
async function written(call: Writable, message: Uint8Array, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const isSent = new Promise<void>((resolve) => {
    call.write(asBuffer(message), () => resolve());
  });
  await unlessAborted(isSent, signal);
}

function callContext(call: UnaryCall | Writable, abort: LazyAbort, over: LazyAbort): CallContext {
  const deadline = call.metadata.get(DEADLINE_HEADER)[0];
  return {
    get signal() {
      return abort.signal;
    },
    get over() {
      return over.signal;
    },
    ...headersOf(call.metadata),
    ...(deadline === undefined ? {} : { deadlineMonoMs: Number(deadline) }),
  };
}

/** The library percent-encodes the text with encodeURI, which throws on lone surrogates. */
function wireStatus(status: Status): { code: number; details: string } {
  const text = status.message.toWellFormed();
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= edgeLimits.statusMessageBytes) return { code: grpcCode[status.code], details: text };
  // a character that was cut at the end decodes to U+FFFD
  const cut = bytes
    .subarray(0, edgeLimits.statusMessageBytes)
    .toString('utf8')
    .replace(/\uFFFD+$/u, '');
  return { code: grpcCode[status.code], details: `${cut}…` };
}

/**
 * Raises the number of calls that a client may cancel; called before the HTTP/2 server is created. Node closes a
 * connection whose client cancels 1000 calls at once, or 33 a second, as a protection from untrusted clients, who can't
 * reach this socket.
 */
function allowResets(grpc: Server): void {
  const options: unknown = Reflect.get(grpc, 'commonServerOptions');
  assert(typeof options === 'object' && options !== null, 'grpc-js has no private field commonServerOptions');
  Object.assign(options, {
    streamResetBurst: edgeLimits.resetsAtOnce,
    streamResetRate: edgeLimits.resetsPerSecond,
  });
}

/** The library's HTTP/2 server, read from a private field; a test fails when an update removes the field. */
function http2ServerOf(grpc: Server): Http2Server {
  const servers: unknown = Reflect.get(grpc, 'http2Servers');
  assert(
    servers instanceof Map && servers.size === 1,
    'grpc-js has no HTTP/2 server in its private field http2Servers',
  );
  const [http2] = (servers as Map<Http2Server, unknown>).keys();
  assert(http2 !== undefined, 'grpc-js has no HTTP/2 server in its private field http2Servers');
  return http2;
}

/** Reads the deadline of each call before the library reads its headers. */
function readDeadlines(http2: Http2Server, clock: Pick<ClockPort, 'monoMs'>): void {
  http2.prependListener('stream', (_stream, headers: IncomingHttpHeaders) => noteDeadline(headers, clock));
}
