/**
 * What all RPCs have in common: readiness, bounds on calls in flight, request id and Cause, deadline, decoding and
 * encoding, one log line, fault → status. The files of `runtime/` and `image/` hold the rest, one RPC each.
 */
import type {
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  Message,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Call } from '../../actors/directory/ask.ts';
import type { ClockPort } from '../../ports/clock.ts';
import type { RandomPort } from '../../ports/random.ts';
import { unlessAborted } from '../../base/abort.ts';
import type { Cause } from '../../base/cause.ts';
import type { Fault } from '../../base/fault.ts';
import { endedByHandOver, fail, restated, toFault } from '../../base/fault.ts';
import { edgeLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import { messagePieces } from '../../base/message-pieces.ts';
import { ImageService, RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import { MovedMessage } from './moved-message.ts';
import { levelOfAnswer } from './reads.ts';
import type { CallContext, StreamHandler, UnaryHandler } from './server.ts';
import { InFlight } from './in-flight.ts';
import { NotReadyCalls } from './not-ready-calls.ts';
import type { GrpcCodeName } from './status.ts';
import { RpcError, toStatus } from './status.ts';

/**
 * What a handler knows about its call beside the request. Its deadline is the latest moment at which an answer, or a
 * fault that names what the call waits for, still reaches the client: that of the client less a margin.
 */
export type RpcContext = Call;

/** The handler of one RPC. Returns the answer's fields, or its bytes if they are already encoded; throws FaultError. */
export type RpcHandler<M extends DescMethodUnary> = (
  request: MessageShape<M['input']>,
  context: RpcContext,
) => Promise<MessageInitShape<M['output']> | Uint8Array | MovedMessage>;

/** The handlers of a service by the local name of the RPC, such as `runPodSandbox`; what is absent is Unimplemented. */
export type ServiceHandlers<S extends { readonly method: Record<string, DescMethod> }> = {
  readonly [
    K in keyof S['method'] as S['method'][K] extends DescMethodUnary ? K : never
  ]?: S['method'][K] extends DescMethodUnary ? RpcHandler<S['method'][K]> : never;
};

/** The handler of one server-streaming RPC. Sends each message by `write` and waits for it; throws FaultError. */
export type StreamRpcHandler<M extends DescMethodServerStreaming> = (
  request: MessageShape<M['input']>,
  context: RpcContext,
  write: (message: MessageInitShape<M['output']> | Uint8Array) => Promise<void>,
) => Promise<void>;

/** As `ServiceHandlers`, for RPCs whose answer is a stream. */
export type ServiceStreams<S extends { readonly method: Record<string, DescMethod> }> = {
  readonly [
    K in keyof S['method'] as S['method'][K] extends DescMethodServerStreaming ? K : never
  ]?: S['method'][K] extends DescMethodServerStreaming ? StreamRpcHandler<S['method'][K]> : never;
};

export interface EdgeOptions {
  readonly clock: Pick<ClockPort, 'monoMs'>;
  readonly random: Pick<RandomPort, 'token'>;
  readonly log: Log;
  /** Why calls are refused now (such as "recovering"); undefined when they are accepted. */
  readonly notReadyReason: () => string | undefined;
  /** What a call waits for, until its deadline at most, before it is accepted or refused; undefined for none. */
  readonly recovery?: (deadlineMonoMs: number | undefined) => Promise<void> | undefined;
  /** Why calls that add to memory are refused now; undefined when they are accepted. */
  readonly memoryRefusal?: () => string | undefined;
  /** The namespace of the pod that a decoded request is for; empty where it is unknown. */
  readonly namespaceOf?: (request: Message) => string;
  readonly runtime?: ServiceHandlers<typeof RuntimeService>;
  readonly image?: ServiceHandlers<typeof ImageService>;
  readonly runtimeStreams?: ServiceStreams<typeof RuntimeService>;
  readonly imageStreams?: ServiceStreams<typeof ImageService>;
  readonly observer?: RpcObserver;
}

/** Observes the beginning and end of each call, for metrics and traces. Must not throw. */
export interface RpcObserver {
  /** The cause's traceparent is the client's. */
  begin(cause: Cause): ObservedCall;
}

export interface ObservedCall {
  /** Replaces the client's traceparent: the effects of the call are children of our span. */
  readonly traceparent: string | undefined;
  /** Called once. */
  ended(code: GrpcCodeName, latencyMs: number, fault: Fault | undefined): void;
}

/** The handlers for `startCriServer`, by full method name such as `runtime.v1.RuntimeService/Version`. */
export function edgeMethods(options: EdgeOptions): Record<string, UnaryHandler> {
  const edge = edgeOf(options);
  const methods: Record<string, UnaryHandler> = {};
  for (const [service, handlers] of [
    [RuntimeService, options.runtime],
    [ImageService, options.image],
  ] as const) {
    for (const rpc of service.methods) {
      // ServiceHandlers has this service's names and types; TypeScript can't infer that in a loop over both services
      const handler = (handlers as Readonly<Record<string, AnyHandler | undefined>> | undefined)?.[
        rpc.localName
      ];
      if (handler === undefined || rpc.methodKind !== 'unary') continue;
      methods[`${service.typeName}/${rpc.name}`] = (request, call) => edge.serve(rpc, handler, request, call);
    }
  }
  return methods;
}

/** As `edgeMethods`, for `streams` of `startCriServer`. */
export function edgeStreams(options: EdgeOptions): Record<string, StreamHandler> {
  const edge = edgeOf(options);
  const streams: Record<string, StreamHandler> = {};
  for (const [service, handlers] of [
    [RuntimeService, options.runtimeStreams],
    [ImageService, options.imageStreams],
  ] as const) {
    for (const rpc of service.methods) {
      const handler = (handlers as Readonly<Record<string, AnyStreamHandler | undefined>> | undefined)?.[
        rpc.localName
      ];
      if (handler === undefined || rpc.methodKind !== 'server_streaming') continue;
      streams[`${service.typeName}/${rpc.name}`] = (request, call, write) =>
        edge.serveStream(rpc, handler, { request, call, write });
    }
  }
  return streams;
}

type AnyHandler = RpcHandler<DescMethodUnary>;
type AnyStreamHandler = StreamRpcHandler<DescMethodServerStreaming>;
type StreamCall = {
  readonly request: Uint8Array;
  readonly call: CallContext;
  readonly write: (message: Uint8Array) => Promise<void>;
};
type Rpc = Pick<DescMethod, 'name' | 'input' | 'output'>;

/**
 * Answered at any time and never counted: a client must always be able to read the status. RuntimeConfig is a constant
 * that the kubelet reads once, when it starts, and troupe may be recovering then.
 */
const ALWAYS: ReadonlySet<string> = new Set(['Version', 'Status', 'RuntimeConfig']);

/**
 * Streams that end only with their client. They are counted apart, so that they take no room from calls, streamed lists
 * included.
 */
const ENDLESS: ReadonlySet<string> = new Set(['GetContainerEvents']);

const edges = new WeakMap<EdgeOptions, Edge>();

/**
 * The same Edge for the unary and streaming RPCs of the same options, so that their calls in flight are counted
 * together.
 */
function edgeOf(options: EdgeOptions): Edge {
  const known = edges.get(options) ?? new Edge(options);
  edges.set(options, known);
  return known;
}

class Edge {
  readonly #options: EdgeOptions;
  readonly #inFlight: InFlight;
  readonly #refusals: NotReadyCalls;
  #endless = 0;

  constructor(options: EdgeOptions) {
    this.#options = options;
    this.#inFlight = new InFlight(options.memoryRefusal);
    this.#refusals = new NotReadyCalls(options);
  }

  async serve(
    rpc: Rpc,
    handler: AnyHandler,
    request: Uint8Array,
    call: CallContext,
  ): Promise<Uint8Array | MovedMessage> {
    const { clock, random } = this.#options;
    const startedMonoMs = clock.monoMs();
    const { cause, observed } = this.#begin(
      random.token(edgeLimits.requestIdBytes),
      rpc.name,
      call.traceparent,
    );
    let release = (): void => undefined;
    let leave = (): void => undefined;
    try {
      const deadlineMonoMs = this.#deadline(rpc.name, startedMonoMs, call.deadlineMonoMs);
      if (!ALWAYS.has(rpc.name)) {
        const recovery = this.#recoveryOrRefusal(rpc.name, deadlineMonoMs);
        release = this.#inFlight.admit(rpc.name, request.length, () => messagePieces(rpc.input, request));
        if (recovery !== undefined) await this.#untilReady(rpc.name, recovery, call.signal);
      }
      const message = decode(rpc, request);
      leave = this.#inFlight.admitWaiting(rpc.name, () => this.#options.namespaceOf?.(message) ?? '');
      const answer = await handler(message, contextOf(call, cause, deadlineMonoMs));
      const bytes = answer instanceof MovedMessage ? sendable(rpc, answer) : encode(rpc, answer);
      this.#logAnswer(rpc.name, cause, startedMonoMs, bytes.length);
      observed?.ended('ok', this.#sinceMs(startedMonoMs), undefined);
      return bytes;
    } catch (thrown) {
      const fault = faultOfCall(rpc, toFault(thrown), call.signal);
      this.#logFault(rpc.name, cause, startedMonoMs, fault, thrown);
      const status = toStatus(fault, cause.requestId);
      observed?.ended(status.code, this.#sinceMs(startedMonoMs), fault);
      throw new RpcError(status, endedByHandOver(fault));
    } finally {
      leave();
      release();
    }
  }

  async serveStream(
    rpc: Rpc,
    handler: AnyStreamHandler,
    { request, call, write }: StreamCall,
  ): Promise<void> {
    const { clock, random } = this.#options;
    const startedMonoMs = clock.monoMs();
    const { cause, observed } = this.#begin(
      random.token(edgeLimits.requestIdBytes),
      rpc.name,
      call.traceparent,
    );
    let bytes = 0;
    let release = (): void => undefined;
    try {
      const deadlineMonoMs = this.#deadline(rpc.name, startedMonoMs, call.deadlineMonoMs);
      const recovery = this.#recoveryOrRefusal(rpc.name, deadlineMonoMs);
      release = ENDLESS.has(rpc.name)
        ? this.#admitEndless(rpc.name)
        : this.#inFlight.admit(rpc.name, request.length, () => messagePieces(rpc.input, request));
      if (recovery !== undefined) await this.#untilReady(rpc.name, recovery, call.signal);
      await handler(decode(rpc, request), contextOf(call, cause, deadlineMonoMs), (message) => {
        const encoded = encode(rpc, message);
        bytes += encoded.length;
        return write(encoded);
      });
      this.#logAnswer(rpc.name, cause, startedMonoMs, bytes);
      observed?.ended('ok', this.#sinceMs(startedMonoMs), undefined);
    } catch (thrown) {
      const fault = toFault(thrown);
      // the usual end of an event stream: its client disconnects
      if (fault.kind === 'cancelled')
        this.#options.log.debug({ ...cause, bytes, latencyMs: this.#sinceMs(startedMonoMs) }, rpc.name);
      else this.#logFault(rpc.name, cause, startedMonoMs, fault, thrown);
      const status = toStatus(fault, cause.requestId);
      observed?.ended(status.code, this.#sinceMs(startedMonoMs), fault);
      throw new RpcError(status);
    } finally {
      release();
    }
  }

  #admitEndless(rpc: string): () => void {
    if (this.#endless >= edgeLimits.streams)
      fail('exhausted', `${rpc}: too many streams: ${edgeLimits.streams} are open`);
    this.#endless += 1;
    return () => {
      this.#endless -= 1;
    };
  }

  #begin(
    requestId: string,
    rpc: string,
    traceparent: string | undefined,
  ): { readonly cause: Cause; readonly observed: ObservedCall | undefined } {
    const cause = causeOf(requestId, rpc, traceparent);
    const observed = this.#options.observer?.begin(cause);
    return {
      cause: observed?.traceparent === undefined ? cause : { ...cause, traceparent: observed.traceparent },
      observed,
    };
  }

  /** What the call waits for, counted as any other one. */
  #recoveryOrRefusal(rpc: string, deadlineMonoMs: number | undefined): Promise<void> | undefined {
    const recovery = this.#options.recovery?.(deadlineMonoMs);
    if (recovery === undefined) this.#refusals.check(rpc);
    return recovery;
  }

  /** Throws `cancelled` where the client has gone: nothing is begun for it. */
  async #untilReady(rpc: string, recovery: Promise<void>, signal: AbortSignal): Promise<void> {
    await unlessAborted(recovery, signal);
    this.#refusals.check(rpc);
  }

  /** The client's deadline less the margin. Throws `timedOut` where the deadline has passed. */
  #deadline(rpc: string, nowMonoMs: number, deadlineMonoMs: number | undefined): number | undefined {
    if (deadlineMonoMs === undefined) return undefined;
    const leftMs = deadlineMonoMs - nowMonoMs;
    if (leftMs <= 0) fail('timedOut', `${rpc}: the caller's deadline had passed when the call arrived`);
    return deadlineMonoMs - deadlineMarginMs(leftMs);
  }

  #logAnswer(rpc: string, cause: Cause, startedMonoMs: number, bytes: number): void {
    const fields = { ...cause, code: 'ok', bytes, latencyMs: this.#sinceMs(startedMonoMs) };
    this.#options.log[levelOfAnswer(rpc)](fields, rpc);
  }

  #logFault(rpc: string, cause: Cause, startedMonoMs: number, fault: Fault, thrown: unknown): void {
    const { code } = toStatus(fault, cause.requestId);
    const fields = { ...cause, code, fault, latencyMs: this.#sinceMs(startedMonoMs) };
    if (this.#refusals.isRepeated(thrown)) this.#options.log.debug(fields, rpc);
    else if (fault.kind !== 'bug') this.#options.log.warn(fields, rpc);
    else
      this.#options.log.error({ ...fields, stack: thrown instanceof Error ? thrown.stack : undefined }, rpc);
  }

  #sinceMs(startedMonoMs: number): number {
    return Math.round((this.#options.clock.monoMs() - startedMonoMs) * 1000) / 1000;
  }
}

/** Its signals are made when a handler asks for them. */
function contextOf(call: CallContext, cause: Cause, deadlineMonoMs: number | undefined): RpcContext {
  return {
    cause,
    deadlineMonoMs,
    askedNs: call.askedNs,
    get signal() {
      return call.signal;
    },
    get over() {
      return call.over;
    },
  };
}

/**
 * How long before the client's deadline an answer must be ready, in ms: a share of the time left, so that a busy
 * machine still sends the answer in time, and at most half of it.
 */
export function deadlineMarginMs(leftMs: number): number {
  const share = (leftMs * edgeLimits.deadlineMarginPercent) / 100;
  const bounded = Math.min(Math.max(share, edgeLimits.deadlineMarginMinMs), edgeLimits.deadlineMarginMaxMs);
  return Math.min(bounded, leftMs / 2);
}

/** W3C Trace Context, version 00 and later: version, trace id, parent id, flags. Ids of all zeros are invalid. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/u;

function causeOf(requestId: string, origin: string, traceparent: string | undefined): Cause {
  // an invalid traceparent is left out: it would only copy a client's text into logs and spans
  if (traceparent === undefined || !TRACEPARENT.test(traceparent)) return { requestId, origin };
  return { requestId, origin, traceparent };
}

function decode(rpc: Rpc, request: Uint8Array): MessageShape<Rpc['input']> {
  try {
    // unknown fields are dropped: proto3 allows it, and troupe never forwards a request
    return fromBinary(rpc.input, request, { readUnknownFields: false });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return fail('invalidRequest', `${rpc.name}: the request is not a valid ${rpc.input.name}: ${reason}`);
  }
}

/** The server that is stopping aborts calls as well as a caller that goes: then the caller is there, and asks again. */
function faultOfCall(rpc: Rpc, why: Fault, { aborted, reason }: AbortSignal): Fault {
  if (why.kind !== 'cancelled' || !aborted) return why;
  const { kind, message } = toFault(reason);
  return kind === 'notReady' ? restated('notReady', `${rpc.name}: ${message}: ${why.message}`, why) : why;
}

function encode(rpc: Rpc, answer: MessageInitShape<Rpc['output']> | Uint8Array): Uint8Array {
  return sendable(
    rpc,
    answer instanceof Uint8Array ? answer : toBinary(rpc.output, create(rpc.output, answer)),
  );
}

function sendable<T extends { readonly length: number }>({ name }: Rpc, bytes: T): T {
  if (bytes.length > edgeLimits.sendBytes) {
    fail('exhausted', `${name}: the answer has ${bytes.length} bytes, more than ${edgeLimits.sendBytes}`);
  }
  return bytes;
}
