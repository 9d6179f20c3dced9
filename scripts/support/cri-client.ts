// A CRI client over the generated contract: for demo, bench, churn and tests. What the kubelet does with grpc-go.
import {
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
  create,
  fromBinary,
  toBinary,
} from '@bufbuild/protobuf';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { ImageService, RuntimeService } from '../../src/gen/runtime/v1/api_pb.ts';
import { EVENT_MS } from '../../test/support/patience.ts';

/** Largest answer, as the kubelet's own (16 MiB). */
const MESSAGE_BYTES = 16 * 1024 * 1024;

type Methods<S extends { readonly method: object }> = {
  readonly [
    K in keyof S['method'] as S['method'][K] extends DescMethodUnary ? K : never
  ]: S['method'][K] extends DescMethodUnary<infer I extends DescMessage, infer O extends DescMessage>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : never;
};

type Streams<S extends { readonly method: object }> = {
  readonly [
    K in keyof S['method'] as S['method'][K] extends DescMethodServerStreaming ? K : never
  ]: S['method'][K] extends DescMethodServerStreaming<
    infer I extends DescMessage,
    infer O extends DescMessage
  >
    ? (request: MessageInitShape<I>) => CriStream<MessageShape<O>>
    : never;
};

/**
 * A stream of answers without a deadline. It ends with the server's end, throws its ServiceError, and stops the server
 * when left early.
 */
export interface CriStream<T> extends AsyncIterable<T> {
  /** Once the server has taken the call, or has ended it. */
  readonly opened: Promise<void>;
  readonly cancel: () => void;
}

export interface CallOptions {
  /**
   * ms until the client gives up; `EVENT_MS` when not said, which is the kubelet's 120 s on a machine that is not slow.
   */
  readonly deadlineMs?: number;
  /** Cancels the call when it aborts, as a client does that goes away. */
  readonly signal?: AbortSignal;
}

export interface CriClient {
  readonly runtime: Methods<typeof RuntimeService>;
  readonly image: Methods<typeof ImageService>;
  readonly runtimeStreams: Streams<typeof RuntimeService>;
  readonly imageStreams: Streams<typeof ImageService>;
  readonly close: () => void;
}

/**
 * A client on a Unix socket; connects with its first call. Rejections are grpc-js ServiceErrors with `code` and
 * `details`.
 * @param isWaiting whether calls wait for a daemon that can't be reached; the kubelet's fail then
 */
export function criClient(socket: string, isWaiting = true): CriClient {
  const channel = new Client(`unix://${socket}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': MESSAGE_BYTES,
    'grpc.max_send_message_length': MESSAGE_BYTES,
    // a daemon that was killed is back within a second; the default back-off would wait longer
    'grpc.initial_reconnect_backoff_ms': 50,
    'grpc.max_reconnect_backoff_ms': 500,
    // tests restart daemons on one path: no connection may be shared behind our back
    'grpc.use_local_subchannel_pool': 1,
  });
  return {
    runtime: methodsOf(channel, RuntimeService, isWaiting),
    image: methodsOf(channel, ImageService, isWaiting),
    runtimeStreams: streamsOf(channel, RuntimeService),
    imageStreams: streamsOf(channel, ImageService),
    close: () => channel.close(),
  };
}

function methodsOf<S extends typeof RuntimeService | typeof ImageService>(
  channel: Client,
  service: S,
  isWaiting: boolean,
): Methods<S> {
  const methods: Record<string, unknown> = {};
  for (const method of service.methods) {
    if (!isUnary(method)) continue;
    methods[method.localName] = (request: object, options: CallOptions = {}) =>
      call(channel, service.typeName, method, request, { isWaiting, ...options });
  }
  return methods as Methods<S>;
}

function streamsOf<S extends typeof RuntimeService | typeof ImageService>(
  channel: Client,
  service: S,
): Streams<S> {
  const streams: Record<string, unknown> = {};
  for (const method of service.methods as readonly DescMethod[]) {
    if (method.methodKind === 'server_streaming')
      streams[method.localName] = (request: object) => stream(channel, service.typeName, method, request);
  }
  return streams as Streams<S>;
}

function stream(channel: Client, service: string, method: DescMethod, request: object): CriStream<object> {
  const readable = channel.makeServerStreamRequest(
    `/${service}/${method.name}`,
    (message: object) => Buffer.from(toBinary(method.input, create(method.input, message as never))),
    (bytes: Buffer) => fromBinary(method.output, bytes),
    request,
    new Metadata({ waitForReady: true }),
  );
  const opened = new Promise<void>((resolve) => {
    for (const event of ['metadata', 'end', 'error']) readable.once(event, () => resolve());
  });
  return {
    opened,
    cancel: () => readable.cancel(),
    [Symbol.asyncIterator]: () => (readable as AsyncIterable<object>)[Symbol.asyncIterator](),
  };
}

function isUnary(method: DescMethod): method is DescMethodUnary {
  return method.methodKind === 'unary';
}

function call(
  channel: Client,
  service: string,
  method: DescMethodUnary,
  request: object,
  options: CallOptions & { readonly isWaiting: boolean },
): Promise<object> {
  return new Promise((resolve, reject) => {
    const started = channel.makeUnaryRequest(
      `/${service}/${method.name}`,
      (message: object) => Buffer.from(toBinary(method.input, create(method.input, message as never))),
      (bytes: Buffer) => fromBinary(method.output, bytes),
      request,
      new Metadata({ waitForReady: options.isWaiting }),
      { deadline: Date.now() + (options.deadlineMs ?? EVENT_MS) },
      (error, answer) => {
        if (error !== null) reject(error);
        else if (answer === undefined) reject(new Error(`${method.name}: no answer`));
        else resolve(answer);
      },
    );
    options.signal?.addEventListener('abort', () => started.cancel(), { once: true });
  });
}
