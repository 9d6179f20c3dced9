/** The answering end of a ttrpc connection. */
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
  /** Aborted when the caller's time is over or its connection has ended: nobody reads the answer. */
  readonly signal: AbortSignal;
  readonly metadata: ReadonlyMap<string, string>;
}

/** One method that is served; made by `ttrpcRoute`, so that handler and descriptor fit. */
export interface TtrpcRoute {
  readonly service: string;
  readonly method: string;
  handle(payload: Uint8Array, served: TtrpcServed): Promise<Uint8Array>;
}

/** A method and who answers it. What the handler throws becomes the status: faults by their kind, other errors as `bug`. */
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
  /** Called once when the connection ends, whoever ended it. */
  readonly onClose?: (reason: Error | undefined) => void;
}

/** Answers the calls of one connection, many at once; of equal streams the order of the answers is not that of the calls. */
export class TtrpcServer {
  readonly #options: TtrpcServerOptions;
  readonly #connection: TtrpcConnection;
  readonly #working = new Map<number, AbortController>();
  /** Of the requests at work. */
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

  /** Ends the connection; handlers at work are told by their signal. Repeatable. */
  close(): void {
    this.#connection.close();
  }

  #onFrame({ streamId, type, payload }: TtrpcFrame): void {
    // data of a streaming call: none is served, and its request was refused
    if (type !== TTRPC_TYPE.request) return;
    if (streamId % 2 === 0 || streamId <= this.#lastId)
      throw new Error(`a request has the id ${streamId} after ${this.#lastId}`);
    this.#lastId = streamId;
    if (this.#working.size >= ttrpcLimits.requests) {
      this.#refuse(
        streamId,
        fault('exhausted', `${this.#working.size} requests of this connection are at work already`),
      );
      return;
    }
    if (this.#bytes > 0 && this.#bytes + payload.length > ttrpcLimits.requestBytes) {
      this.#refuse(
        streamId,
        fault('exhausted', `requests of this connection with ${this.#bytes} bytes are at work already`),
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
        this.#refuse(
          streamId,
          fault('unsupported', `no method ${request.service}/${request.method} is served`),
        );
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
