/** The server side of a ttrpc connection. */
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { Duplex } from 'node:stream';
import type { ClockPort } from '../ports/clock.ts';
import { fault, toFault } from '../base/fault.ts';
import type { Fault } from '../base/fault.ts';
import { ttrpcLimits } from './bounds.ts';
import { TTRPC_TYPE } from './frames.ts';
import type { TtrpcFrame } from './frames.ts';
import { RequestSchema, ResponseSchema } from '../gen/ttrpc/ttrpc_pb.ts';
import type { Request } from '../gen/ttrpc/ttrpc_pb.ts';
import { TtrpcConnection, codeOfKind, decodeMessage, encodeMessage } from './protocol.ts';

export interface TtrpcServed {
  /**
   * Aborted when the caller's deadline has passed or its connection has ended: nobody reads the answer any
   * more.
   */
  readonly signal: AbortSignal;
  readonly metadata: ReadonlyMap<string, string>;
}

/** One served method; made by `ttrpcRoute`, so that the types of handler and descriptor match. */
export interface TtrpcRoute {
  readonly service: string;
  readonly method: string;
  handle(payload: Uint8Array, served: TtrpcServed): Promise<Uint8Array>;
}

/**
 * Binds a method to its handler. What the handler throws becomes the status: a fault by its kind, any other
 * error as `bug`.
 */
export function ttrpcRoute<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  handler: (request: MessageShape<I>, served: TtrpcServed) => Promise<MessageInitShape<O>>,
): TtrpcRoute {
  return {
    service: method.parent.typeName,
    method: method.name,
    handle: async (payload, served) =>
      encodeMessage(method.output, await handler(decodeMessage(method.input, payload), served)),
  };
}

export interface TtrpcServerOptions {
  readonly clock: ClockPort;
  readonly routes: readonly TtrpcRoute[];
  /** Called once when the connection ends, whichever side ended it. */
  readonly onClose?: (reason: Error | undefined) => void;
}

/** Answers the calls of one connection, many at once; answers may overtake each other. */
export class TtrpcServer {
  readonly #options: TtrpcServerOptions;
  readonly #connection: TtrpcConnection;
  readonly #working = new Map<number, AbortController>();
  /** Bytes of the requests being handled. */
  #bytes = 0;
  #lastId = 0;

  constructor(stream: Duplex, options: TtrpcServerOptions) {
    this.#options = options;
    this.#connection = new TtrpcConnection(stream, {
      onFrame: (frame) => this.#onFrame(frame),
      onEnd: (reason) => this.#onEnd(reason),
    });
  }

  get isClosed(): boolean {
    return this.#connection.hasEnded;
  }

  /** Ends the connection and aborts the signals of the running handlers. Repeatable. */
  close(): void {
    this.#connection.close();
  }

  #onFrame({ streamId, type, payload }: TtrpcFrame): void {
    // data frame of a streaming call: streaming is not served, and the call's request was refused
    if (type !== TTRPC_TYPE.request) return;
    if (streamId % 2 === 0 || streamId <= this.#lastId)
      throw new Error(`invalid stream id ${streamId} after ${this.#lastId}`);
    this.#lastId = streamId;
    if (this.#working.size >= ttrpcLimits.requests) {
      this.#refuse(
        streamId,
        fault('exhausted', `${this.#working.size} requests of this connection are in progress already`),
      );
      return;
    }
    if (this.#bytes > 0 && this.#bytes + payload.length > ttrpcLimits.requestBytes) {
      this.#refuse(
        streamId,
        fault('exhausted', `${this.#bytes} bytes of requests of this connection are in progress already`),
      );
      return;
    }
    const controller = new AbortController();
    this.#working.set(streamId, controller);
    this.#bytes += payload.length;
    this.#serve(streamId, payload, controller).catch(() => this.#connection.close());
  }

  async #serve(streamId: number, payload: Uint8Array, controller: AbortController): Promise<void> {
    let timer: ReturnType<ClockPort['setTimeout']> | undefined;
    const { clock, routes } = this.#options;
    try {
      const request = decodeMessage(RequestSchema, payload);
      const route = routes.find(
        ({ service, method }) => service === request.service && method === request.method,
      );
      if (route === undefined) {
        this.#refuse(streamId, fault('unsupported', `method ${request.service}/${request.method} not found`));
        return;
      }
      if (request.timeoutNano > 0n)
        timer = clock.setTimeout(() => controller.abort(), Number(request.timeoutNano / 1_000_000n));
      const answer = await route.handle(request.payload, {
        signal: controller.signal,
        metadata: metadataOf(request),
      });
      this.#send(streamId, encodeMessage(ResponseSchema, { payload: answer }));
    } catch (thrown) {
      this.#refuse(streamId, toFault(thrown));
    } finally {
      if (timer !== undefined) clock.clearTimeout(timer);
      this.#working.delete(streamId);
      this.#bytes -= payload.length;
    }
  }

  #refuse(streamId: number, { kind, message }: Fault): void {
    this.#send(
      streamId,
      encodeMessage(ResponseSchema, {
        status: { code: codeOfKind(kind), message: message.slice(0, ttrpcLimits.errorChars) },
      }),
    );
  }

  #send(streamId: number, payload: Uint8Array): void {
    this.#connection.send({ streamId, type: TTRPC_TYPE.response, flags: 0, payload });
  }

  #onEnd(reason: Error | undefined): void {
    for (const controller of this.#working.values()) controller.abort();
    this.#options.onClose?.(reason);
  }
}

function metadataOf({ metadata }: Request): ReadonlyMap<string, string> {
  return new Map(metadata.map(({ key, value }) => [key, value]));
}
