/**
 * Multiplexes two connections over one socket, as NRI does (github.com/containerd/nri, pkg/net/multiplex).
 * Each frame has a head of eight bytes: id of the connection and length of the payload, big-endian. A
 * connection is opened without a message to the peer.
 */
import { Duplex } from 'node:stream';
import { nriLimits } from './bounds.ts';

/** On the first connection we call the plugin, on the second it calls us. */
export const PLUGIN_CONNECTION = 1;
export const RUNTIME_CONNECTION = 2;

const HEAD_BYTES = 8;

/**
 * The peer, written in Go, reads through a buffer of this size and then the rest in place. So a longer
 * message is sent in two frames: one of this size and one with the rest. More frames could overflow its queue
 * of 256.
 */
const FIRST_PIECE_BYTES = 4096;

/** The frames of one message, heads included. */
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

/** Sorts the socket's bytes by connection as they arrive; holds nothing but an incomplete head. */
export class MuxParser {
  readonly #head = new Uint8Array(HEAD_BYTES);
  #headBytes = 0;
  #id = 0;
  /** Bytes of the current frame that are still to come. */
  #left = 0;

  /**
   * Throws on a frame longer than the protocol's longest message; after that the stream can't be parsed any
   * further.
   */
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

  /** Returns the bytes that do not belong to the head. */
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
        throw new Error(`got a frame of ${this.#left} bytes: the protocol allows ${nriLimits.pieceBytes}`);
    }
    return bytes.subarray(part.length);
  }
}

/**
 * The connections over one socket. They end together: with the socket, on a protocol error, and when one of
 * them is destroyed.
 */
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

  /** Call it in the turn in which the Mux is created, before any data arrives. */
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
      // frames of connections that were not opened are dropped, as the peer does too
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
