/**
 * ttrpc over a stream (github.com/containerd/ttrpc): what client and server have in common. Messages are made and
 * read here and nowhere else beside src/cri, so that a driver hands in plain objects and the descriptors of src/gen.
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

/** google.rpc.Code, for the kinds of a fault; `outside` stands for every code that has no kind of its own. */
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

/** A fault's kind for another program's code: its internal error (13) is not a bug of ours. */
export function kindOfCode(code: number): FaultKind {
  const found = Object.entries(CODES).find(([kind, one]) => one === code && kind !== 'bug');
  return (found?.[0] ?? 'outside') as FaultKind;
}

/** The bytes of a message given as a plain object; fields that are absent have their default. */
export function encodeMessage<Desc extends DescMessage>(
  schema: Desc,
  init: MessageInitShape<Desc>,
): Uint8Array {
  return toBinary(schema, create(schema, init));
}

/** The message in these bytes, without fields that we don't know. Throws `outside` when they are none, or too many objects. */
export function decodeMessage<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array): MessageShape<Desc> {
  const pieces = messagePieces(schema, bytes);
  if (pieces > ttrpcLimits.messagePieces)
    fail('outside', `read a message ${schema.typeName}: ${tooManyPieces(pieces, ttrpcLimits.messagePieces)}`);
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false });
  } catch (error) {
    return fail(
      'outside',
      `read a message ${schema.typeName}: ${error instanceof Error ? error.message : 'not one'}`,
    );
  }
}

export interface FrameListener {
  /** May throw: the connection is broken off then. */
  onFrame(frame: TtrpcFrame): void;
  /** Once, whatever ended it; undefined for an end between two frames. */
  onEnd(reason: Error | undefined): void;
}

/** One end of a connection: frames in and out. */
export class TtrpcConnection {
  readonly #stream: Duplex;
  readonly #listener: FrameListener;
  readonly #parser = new TtrpcParser();
  /** What waits for the other end to read, a piece counting for `pieceCharge`. */
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

  /** Throws `exhausted` when the other end does not read, or on a message that is too long. Nothing when it has ended. */
  send(frame: TtrpcFrame): void {
    if (this.#hasEnded) return;
    const bytes = encodeTtrpcFrame(frame);
    // a stream keeps an object for each message
    const charge = pieceCharge(bytes.length);
    if (this.#unsent + charge > ttrpcLimits.unsentBytes) {
      fail(
        'exhausted',
        `send a ttrpc message: the other end has left ${this.#stream.writableLength} bytes unread`,
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
