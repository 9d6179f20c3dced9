/**
 * The one file that knows the RPC library (grpc-js). It serves both CRI services on a Unix socket with
 * buffers in and out, and drains. What a call means is `edge.ts`'s business.
 */
import type { Http2Server, IncomingHttpHeaders } from 'node:http2';
import type { Socket } from 'node:net';
import type { DescMethod } from '@bufbuild/protobuf';
import type { sendUnaryData, ServerUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import { Metadata, Server, ServerCredentials } from '@grpc/grpc-js';
import type { ClockPort } from '../../ports/clock.ts';
import { unlessAborted } from '../../base/abort.ts';
import { assert } from '../../base/assert.ts';
import { fault, FaultError, toFault } from '../../base/fault.ts';
import { edgeLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import { ImageService, RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import { DEADLINE_HEADER, noteDeadline } from './call-deadline.ts';
import { Connections } from './connections.ts';
import { MovedMessage } from './moved-message.ts';
import type { Status } from './status.ts';
import { grpcCode, RpcError, toStatus } from './status.ts';

/** What a handler is told of its call beside the bytes. */
export interface CallContext {
  /**
   * Aborts when the client has gone (`cancelled`), its deadline has passed (`timedOut`) or the server closes
   * (`notReady`), with a FaultError as reason; never after the handler has settled.
   */
  readonly signal: AbortSignal;
  /** Aborts once the answer has left, or nobody waits for it. */
  readonly over?: AbortSignal;
  /** The client's deadline (ClockPort.monoMs). */
  readonly deadlineMonoMs?: number;
  /** The header `traceparent` as it came, unchecked. */
  readonly traceparent?: string;
}

/** One unary RPC on the wire: throws RpcError to say how it failed; anything else thrown is answered Internal. */
export type UnaryHandler = (request: Uint8Array, call: CallContext) => Promise<Uint8Array | MovedMessage>;

/**
 * One server-streaming RPC on the wire: the stream ends well when it resolves, otherwise as for UnaryHandler. `write`
 * settles once the message is with the kernel, so that a slow client slows its handler; it rejects with the signal's
 * reason once nobody listens any more.
 */
export type StreamHandler = (
  request: Uint8Array,
  call: CallContext,
  write: (message: Uint8Array) => Promise<void>,
) => Promise<void>;

export interface CriServerOptions {
  /** Takes connections from then on. Rejects when the socket is another's, or can't be made. */
  readonly listen: (onConnection: (socket: Socket) => void) => Promise<ListeningSocket>;
  /** By full method name, such as `runtime.v1.RuntimeService/Version`. An RPC without handler is Unimplemented. */
  readonly methods: Readonly<Record<string, UnaryHandler>>;
  /** As `methods`, for server-streaming RPCs. */
  readonly streams?: Readonly<Record<string, StreamHandler>>;
  readonly clock: ClockPort;
  readonly log: Log;
}

/** What `listen` gives: removes the socket's file if it is still ours, then takes no more connections. Repeatable. */
export interface ListeningSocket {
  close(): Promise<void>;
}

export interface CriServer {
  /**
   * Refuses new calls with Unavailable, ends streams so, waits at most `graceMs` (default `edgeLimits.drainMs`) for
   * calls at work, then closes. Repeatable; the first call's grace counts.
   */
  drain(graceMs?: number): Promise<void>;
  /** Aborts calls at work, drops all connections and removes the socket file if it is still ours. Repeatable. */
  close(): Promise<void>;
}

/** Serves until closed. Throws FaultError when the socket is another's, or can't be made. */
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
  readonly #inFlight = new Set<AbortController>();
  readonly #streams = new Set<AbortController>();
  /** What a drain waits for: called when the last call at work has ended. */
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

  drain(graceMs: number = edgeLimits.drainMs): Promise<void> {
    return (this.#draining ??= this.#drain(graceMs));
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #drain(graceMs: number): Promise<void> {
    // most of them would never end by themselves
    this.#abort(this.#streams);
    if (this.#inFlight.size > 0) await this.#within(graceMs, (done) => (this.#onIdle = done));
    this.#abort(this.#inFlight);
    await this.#stopListening();
    // says GOAWAY and lets answers on their way out pass; it drops what is left after flushMs
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

  #abort(calls: ReadonlySet<AbortController>): void {
    for (const call of calls) call.abort(new FaultError(fault('notReady', 'troupe is stopping')));
  }

  /** Waits until `done`, handed to `subscribe`, is called, but no longer than `ms`. */
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
    const strange = [...unused.keys(), ...unusedStreams.keys()];
    assert(strange.length === 0, `handlers for RPCs that the contract doesn't have: ${strange.join(', ')}`);
  }

  /** Never rejects: whatever a handler does ends one call. */
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
      // all that the library asks of a buffer this has, too
      answer(null, message instanceof MovedMessage ? (message as never) : asBuffer(message));
    } catch (thrown) {
      answer(wireStatus(this.#statusOf(rpc, thrown)));
    } finally {
      this.#inFlight.delete(abort);
      if (this.#inFlight.size === 0) this.#onIdle();
    }
  }

  /** As `#serve`. */
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
      // at once: from then on the client knows that it misses nothing
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
    calls: Set<AbortController>,
  ): { abort: AbortController; context: CallContext } {
    const abort = new AbortController();
    const over = new AbortController();
    const context = { ...callContext(call, abort.signal), over: over.signal };
    // the library says "cancelled" after a good end too, once its stream has closed
    call.on('cancelled', () => {
      over.abort();
      if (calls.has(abort)) abort.abort(new FaultError(this.#gone(rpc, context.deadlineMonoMs)));
    });
    calls.add(abort);
    return { abort, context };
  }

  #gone(rpc: string, deadlineMonoMs: number | undefined): ReturnType<typeof fault> {
    // the client's own timer and ours end the call in either order, some milliseconds apart
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
    this.#options.log.error({ rpc, error }, 'an RPC handler threw');
    return { code: 'internal', message: `${rpc}: internal error` };
  }
}

type Answer = sendUnaryData<Buffer>;
type Writable = ServerWritableStream<Buffer, Buffer>;

function same(bytes: Buffer): Buffer {
  return bytes;
}

function unimplemented(rpc: string): Status {
  return toStatus(fault('unsupported', `RPC ${rpc} is not implemented by this version of troupe`), '');
}

function stopping(rpc: string): Status {
  return toStatus(fault('notReady', `${rpc}: troupe is stopping and takes no new calls`), '');
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The library keeps what the client's window has no room for: the callback comes when it has left. */
async function written(call: Writable, message: Uint8Array, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const hasLeft = new Promise<void>((resolve) => {
    call.write(asBuffer(message), () => resolve());
  });
  await unlessAborted(hasLeft, signal);
}

function callContext(call: UnaryCall | Writable, signal: AbortSignal): CallContext {
  const deadline = call.metadata.get(DEADLINE_HEADER)[0];
  const traceparent = call.metadata.get('traceparent')[0];
  const told = typeof traceparent === 'string' ? { traceparent } : {};
  return { signal, ...told, ...(deadline === undefined ? {} : { deadlineMonoMs: Number(deadline) }) };
}

/** The library percent-encodes the text with encodeURI, which throws on lone surrogates. */
function wireStatus(status: Status): { code: number; details: string } {
  const text = status.message.toWellFormed();
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= edgeLimits.statusMessageBytes) return { code: grpcCode[status.code], details: text };
  // a character cut in two at the end decodes to U+FFFD
  const cut = bytes
    .subarray(0, edgeLimits.statusMessageBytes)
    .toString('utf8')
    .replace(/\uFFFD+$/u, '');
  return { code: grpcCode[status.code], details: `${cut}…` };
}

/** Before its HTTP/2 server is made. Node drops a connection whose client gives up 1000 calls at once, or 33 a second: against strangers, who have no way to ours. */
function allowResets(grpc: Server): void {
  const options: unknown = Reflect.get(grpc, 'commonServerOptions');
  assert(
    typeof options === 'object' && options !== null,
    'grpc-js has no options of its HTTP/2 server where they used to be',
  );
  Object.assign(options, {
    streamResetBurst: edgeLimits.resetsAtOnce,
    streamResetRate: edgeLimits.resetsPerSecond,
  });
}

/** It is reachable by a private field only; a test breaks when that goes. */
function http2ServerOf(grpc: Server): Http2Server {
  const servers: unknown = Reflect.get(grpc, 'http2Servers');
  assert(servers instanceof Map && servers.size === 1, 'grpc-js has no HTTP/2 server where it used to be');
  const [http2] = (servers as Map<Http2Server, unknown>).keys();
  assert(http2 !== undefined, 'grpc-js has no HTTP/2 server where it used to be');
  return http2;
}

/** Before the library reads the headers of a call. */
function readDeadlines(http2: Http2Server, clock: Pick<ClockPort, 'monoMs'>): void {
  http2.prependListener('stream', (_stream, headers: IncomingHttpHeaders) => noteDeadline(headers, clock));
}
