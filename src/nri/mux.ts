/**
 * Two connections in one, as NRI's plugins have it (github.com/containerd/nri, pkg/net/multiplex): each piece travels
 * behind a head of eight bytes, id of the connection and length of the piece (big-endian). Opening one is not told to
 * the other end.
 */
import { Duplex } from 'node:stream';
import { nriLimits } from './bounds.ts';

/** On the first the plugin answers our calls, on the second we answer its. */
export const PLUGIN_CONNECTION = 1;
export const RUNTIME_CONNECTION = 2;

const HEAD_BYTES = 8;

/**
 * What Go's readers take in one piece: the other end reads through a buffer of this size, so a longer message is sent
 * as this much and then the rest, which it reads in place. In more pieces its queue (256) would run over.
 */
const FIRST_PIECE_BYTES = 4096;

/** The pieces of one message, heads included. */
export function* muxPieces(id: number, message: Uint8Array): Generator<Uint8Array> {
  const first = message.length > FIRST_PIECE_BYTES ? FIRST_PIECE_BYTES : message.length;
  for (const part of [message.subarray(0, first), message.subarray(first)]) {
    if (part.length === 0) continue;
    const piece = new Uint8Array(HEAD_BYTES + part.length);
    const view = new DataView(piece.buffer);
    view.setUint32(0, id);
    view.setUint32(4, part.length);
    piece.set(part, HEAD_BYTES);
    yield piece;
  }
}

/** Sorts the bytes of the trunk by connection, as they come: it holds nothing but a head that is not whole. */
export class MuxParser {
  readonly #head = new Uint8Array(HEAD_BYTES);
  #headBytes = 0;
  #id = 0;
  /** Bytes of the piece that are still to come. */
  #left = 0;

  /** Throws on a piece that is longer than the protocol's longest message; no more can be read then. */
  *push(chunk: Uint8Array): Generator<{ readonly id: number; readonly bytes: Uint8Array }> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left === 0) {
        rest = this.#takeHead(rest);
        continue;
      }
      const bytes = rest.subarray(0, this.#left);
      this.#left -= bytes.length;
      rest = rest.subarray(bytes.length);
      yield { id: this.#id, bytes };
    }
  }

  /** What is left of the bytes. */
  #takeHead(bytes: Uint8Array): Uint8Array {
    const part = bytes.subarray(0, HEAD_BYTES - this.#headBytes);
    this.#head.set(part, this.#headBytes);
    this.#headBytes += part.length;
    if (this.#headBytes === HEAD_BYTES) {
      const view = new DataView(this.#head.buffer);
      this.#id = view.getUint32(0);
      this.#left = view.getUint32(4);
      this.#headBytes = 0;
      if (this.#left > nriLimits.pieceBytes)
        throw new Error(`a piece of ${this.#left} bytes: the protocol allows ${nriLimits.pieceBytes}`);
    }
    return bytes.subarray(part.length);
  }
}

/** The connections in a trunk. They end together: with the trunk, with a broken piece, and when one of them is destroyed. */
export class Mux {
  readonly #trunk: Duplex;
  readonly #parser = new MuxParser();
  readonly #connections = new Map<number, Duplex>();

  constructor(trunk: Duplex) {
    this.#trunk = trunk;
    trunk.on('data', (chunk: Uint8Array) => this.#read(chunk));
    trunk.on('error', (error: Error) => this.#end(error));
    trunk.on('end', () => this.#end());
    trunk.on('close', () => this.#end());
  }

  /** Before anything is read, so in the turn in which the Mux is made. */
  open(id: number): Duplex {
    const connection = new Duplex({
      read: () => undefined,
      write: (chunk: Uint8Array, _encoding, done) => this.#write(id, chunk, done),
      destroy: (error, done) => {
        this.#connections.delete(id);
        this.#end();
        done(error);
      },
    });
    this.#connections.set(id, connection);
    return connection;
  }

  #write(id: number, chunk: Uint8Array, done: (error?: Error | null) => void): void {
    const pieces = [...muxPieces(id, chunk)];
    for (const [index, piece] of pieces.entries()) {
      this.#trunk.write(piece, index === pieces.length - 1 ? done : undefined);
    }
    if (pieces.length === 0) done();
  }

  #read(chunk: Uint8Array): void {
    try {
      // pieces of connections that nobody opened are dropped, as the other end does with ours
      for (const { id, bytes } of this.#parser.push(chunk)) this.#connections.get(id)?.push(bytes);
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #end(error?: Error): void {
    this.#trunk.destroy();
    for (const connection of [...this.#connections.values()]) {
      if (error !== undefined) connection.destroy(error);
      else connection.push(null);
    }
    this.#connections.clear();
  }
}
