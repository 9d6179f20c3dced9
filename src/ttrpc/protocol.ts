/**
 * What ttrpc client and server share: codes, messages, and the connection. Besides src/cri this is the only
 * place that encodes and decodes protobuf messages, so that drivers hand over plain objects and the
 * descriptors of src/gen.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { Duplex } from 'node:stream';
import { pieceCharge } from '../base/byte-blocks.ts';
import type { FaultKind } from '../base/fault.ts';
import { fail } from '../base/fault.ts';
import { ttrpcLimits } from './bounds.ts';
import { messagePieces, tooManyPieces } from '../base/message-pieces.ts';
import { TtrpcParser, encodeTtrpcFrame } from './frames.ts';
import type { TtrpcFrame } from './frames.ts';

/**
 * The google.rpc.Code for each kind of fault. `outside` also stands for every code that has no kind of its
 * own.
 */
const CODES: Readonly<Record<FaultKind, number>> = {
  cancelled: 1,
  outside: 2,
  invalidRequest: 3,
  timedOut: 4,
  notFound: 5,
  conflict: 6,
  denied: 7,
  exhausted: 8,
  wrongState: 9,
  superseded: 10,
  unsupported: 12,
  bug: 13,
  notReady: 14,
};

/** google.rpc.Code of a fault's kind. */
export function codeOfKind(kind: FaultKind): number {
  return CODES[kind];
}

/**
 * The kind of fault for a code that another program sent. Its internal error (13) is `outside`, since `bug`
 * means a bug of troupe.
 */
export function kindOfCode(code: number): FaultKind {
  const found = Object.entries(CODES).find(([kind, one]) => one === code && kind !== 'bug');
  return (found?.[0] ?? 'outside') as FaultKind;
}

/** Encodes a message given as a plain object; absent fields get their default. */
export function encodeMessage<Desc extends DescMessage>(
  schema: Desc,
  init: MessageInitShape<Desc>,
): Uint8Array {
  return toBinary(schema, create(schema, init));
}

/**
 * Decodes a message; unknown fields are dropped. Throws `outside` when the bytes are malformed or hold too
 * many fields and elements.
 */
export function decodeMessage<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array): MessageShape<Desc> {
  const pieces = messagePieces(schema, bytes);
  if (pieces > ttrpcLimits.messagePieces)
    fail('outside', `read a message ${schema.typeName}: ${tooManyPieces(pieces, ttrpcLimits.messagePieces)}`);
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false });
  } catch (error) {
    return fail(
      'outside',
      `read a message ${schema.typeName}: ${error instanceof Error ? error.message : 'malformed'}`,
    );
  }
}

export interface FrameListener {
  /** May throw, which breaks off the connection. */
  onFrame(frame: TtrpcFrame): void;
  /** Called once, whichever side ended the connection; undefined when it ended between two frames. */
  onEnd(reason: Error | undefined): void;
}

/** One side of a connection: frames in and out. */
export class TtrpcConnection {
  readonly #stream: Duplex;
  readonly #listener: FrameListener;
  readonly #parser = new TtrpcParser();
  /** Bytes that the peer has not read yet; each frame counts for its `pieceCharge`. */
  #unsent = 0;
  #hasEnded = false;

  constructor(stream: Duplex, listener: FrameListener) {
    this.#stream = stream;
    this.#listener = listener;
    stream.on('data', (chunk: Uint8Array) => this.#read(chunk));
    stream.on('end', () =>
      this.#end(
        this.#parser.isBetweenFrames ? undefined : new Error('the connection ended inside a message'),
      ),
    );
    stream.on('error', (error: Error) => this.#end(error));
    stream.on('close', () => this.#end(undefined));
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /**
   * Throws `exhausted` when the peer does not read, and on a message that is too long. Does nothing once the
   * connection has ended.
   */
  send(frame: TtrpcFrame): void {
    if (this.#hasEnded) return;
    const bytes = encodeTtrpcFrame(frame);
    // Each queued message also costs the stream an object, however short the message is.
    const charge = pieceCharge(bytes.length);
    if (this.#unsent + charge > ttrpcLimits.unsentBytes) {
      fail(
        'exhausted',
        `send a ttrpc message: the peer has left ${this.#stream.writableLength} bytes unread`,
      );
    }
    this.#unsent += charge;
    this.#stream.write(bytes, () => (this.#unsent -= charge));
  }

  /** Repeatable. */
  close(): void {
    this.#end(undefined);
  }

  #read(chunk: Uint8Array): void {
    try {
      for (const frame of this.#parser.push(chunk)) {
        if (this.#hasEnded) return;
        this.#listener.onFrame(frame);
      }
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #end(reason: Error | undefined): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#stream.destroy();
    this.#listener.onEnd(reason);
  }
}
