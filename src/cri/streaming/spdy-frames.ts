/**
 * Frames of SPDY/3.1 (protocol drafts 3 and 3.1), the subset that byte streams need. A control frame is buffered until
 * it is complete, up to a bound; the bytes of a data frame are passed on as they arrive.
 */
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { fail } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';

export type SpdyFrame =
  | { readonly kind: 'data'; readonly streamId: number; readonly bytes: Uint8Array; readonly fin: boolean }
  | {
      readonly kind: 'synStream';
      readonly streamId: number;
      readonly fin: boolean;
      readonly block: Uint8Array;
    }
  /**
   * SYN_REPLY and HEADERS: a server ignores them, but must inflate every header block to keep the compression state.
   */
  | { readonly kind: 'headers'; readonly streamId: number; readonly fin: boolean; readonly block: Uint8Array }
  | { readonly kind: 'reset'; readonly streamId: number; readonly status: number }
  | { readonly kind: 'settings'; readonly initialWindow: number | undefined }
  | { readonly kind: 'ping'; readonly id: number }
  | { readonly kind: 'goAway' }
  | { readonly kind: 'windowUpdate'; readonly streamId: number; readonly delta: number };

const VERSION = 3;
const HEAD_BYTES = 8;
const FLAG_FIN = 0x01;
const TYPE = {
  synStream: 1,
  synReply: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;
/** SETTINGS_INITIAL_WINDOW_SIZE. */
const INITIAL_WINDOW = 7;
const ID_MASK = 0x7fffffff;

/** Reasons of RST_STREAM. */
export const RESET = { protocolError: 1, invalidStream: 2, refusedStream: 3, cancel: 5 } as const;

function broken(reason: string): never {
  return fail('invalidRequest', `read a SPDY frame: ${reason}`);
}

/** A data frame that is not completely received. */
interface DataFrame {
  readonly streamId: number;
  readonly fin: boolean;
  left: number;
}

/** Parses a stream of bytes into frames. Throws `invalidRequest` for an invalid frame; the parser is unusable then. */
export class SpdyParser {
  readonly #bytes = new ByteBlocks('read SPDY frames', streamLimits.unparsedBytes);
  #data: DataFrame | undefined;

  /** Bytes that were added and not parsed yet. */
  get size(): number {
    return this.#bytes.size;
  }

  /** Adds bytes, which the parser owns from then on. Throws `exhausted` when too many are unparsed. */
  add(chunk: Uint8Array): void {
    this.#bytes.append(chunk);
  }

  *push(chunk: Uint8Array): Generator<SpdyFrame> {
    this.add(chunk);
    for (let frame = this.next(); frame !== undefined; frame = this.next()) yield frame;
  }

  /** The next frame, or the next bytes of a data frame; undefined until more bytes are added. */
  next(): SpdyFrame | undefined {
    for (;;) {
      if (this.#data !== undefined) {
        const frame = this.#piece(this.#data);
        if (frame === undefined || frame.bytes.length > 0 || frame.fin) return frame;
        continue;
      }
      if (this.#bytes.size < HEAD_BYTES) return undefined;
      const head = bufferOf(this.#bytes.peek(HEAD_BYTES));
      const [first, second] = [head.readUInt32BE(0), head.readUInt32BE(4)];
      const [flags, length] = [second >>> 24, second & 0xffffff];
      if (first >>> 31 === 0) {
        if (first === 0) broken('data for stream 0');
        this.#data = { streamId: first, fin: (flags & FLAG_FIN) !== 0, left: length };
        this.#bytes.take(HEAD_BYTES);
        continue;
      }
      if (((first >>> 16) & 0x7fff) !== VERSION) broken(`version ${(first >>> 16) & 0x7fff}`);
      if (length > streamLimits.spdyControlBytes) broken(`a control frame of ${length} bytes`);
      if (this.#bytes.size < HEAD_BYTES + length) return undefined;
      const frame = control(
        first & 0xffff,
        flags,
        bufferOf(this.#bytes.take(HEAD_BYTES + length)).subarray(HEAD_BYTES),
      );
      if (frame !== undefined) return frame;
    }
  }

  /** The received bytes of a data frame; undefined without any. */
  #piece(data: DataFrame): (SpdyFrame & { readonly kind: 'data' }) | undefined {
    const bytes = data.left === 0 ? NOTHING : this.#bytes.shift(data.left);
    if (bytes === undefined) return undefined;
    data.left -= bytes.length;
    if (data.left === 0) this.#data = undefined;
    return { kind: 'data', streamId: data.streamId, bytes, fin: data.fin && data.left === 0 };
  }
}

const NOTHING = new Uint8Array(0);

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function control(type: number, flags: number, body: Buffer): SpdyFrame | undefined {
  const word = (at: number): number => {
    if (body.length < at + 4) broken(`control frame of type ${type} with ${body.length} bytes`);
    return body.readUInt32BE(at);
  };
  const fin = (flags & FLAG_FIN) !== 0;
  const streamId = (): number => word(0) & ID_MASK;
  switch (type) {
    case TYPE.synStream:
      // the associated stream, priority and slot are ignored
      if (body.length < 10) broken(`SYN_STREAM of ${body.length} bytes`);
      return { kind: 'synStream', streamId: streamId(), fin, block: body.subarray(10) };
    case TYPE.synReply:
    case TYPE.headers:
      return { kind: 'headers', streamId: streamId(), fin, block: body.subarray(4) };
    case TYPE.reset:
      return { kind: 'reset', streamId: streamId(), status: word(4) };
    case TYPE.settings:
      return { kind: 'settings', initialWindow: initialWindow(body, word) };
    case TYPE.ping:
      return { kind: 'ping', id: word(0) };
    case TYPE.goAway:
      return { kind: 'goAway' };
    case TYPE.windowUpdate:
      return { kind: 'windowUpdate', streamId: streamId(), delta: word(4) & ID_MASK };
    default:
      // unknown types must be ignored (draft 3, 2.2.1)
      return undefined;
  }
}

function initialWindow(body: Buffer, word: (at: number) => number): number | undefined {
  const count = word(0);
  if (body.length !== 4 + count * 8) broken(`SETTINGS of ${body.length} bytes with ${count} entries`);
  let found: number | undefined;
  for (let at = 4; at < body.length; at += 8)
    if ((word(at) & 0xffffff) === INITIAL_WINDOW) found = word(at + 4) & ID_MASK;
  return found;
}

function controlFrame(type: number, flags: number, body: Uint8Array): Buffer {
  const frame = Buffer.alloc(HEAD_BYTES + body.length);
  frame.writeUInt32BE(0x80000000 + (VERSION << 16) + type, 0);
  frame.writeUInt32BE(flags * 0x1000000 + body.length, 4);
  frame.set(body, HEAD_BYTES);
  return frame;
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4);
  return bytes;
}

/** The header of a data frame; the data follows it. */
export function dataHead(streamId: number, length: number, fin: boolean): Buffer {
  return words(streamId, (fin ? FLAG_FIN : 0) * 0x1000000 + length);
}

/** SYN_STREAM, which only clients send (tests use it). */
export function synStreamFrame(streamId: number, block: Uint8Array, fin: boolean): Buffer {
  return controlFrame(
    TYPE.synStream,
    fin ? FLAG_FIN : 0,
    Buffer.concat([words(streamId, 0), Buffer.alloc(2), block]),
  );
}

export function synReplyFrame(streamId: number, block: Uint8Array): Buffer {
  return controlFrame(TYPE.synReply, 0, Buffer.concat([words(streamId), block]));
}

export function resetFrame(streamId: number, status: number): Buffer {
  return controlFrame(TYPE.reset, 0, words(streamId, status));
}

export function pingFrame(id: number): Buffer {
  return controlFrame(TYPE.ping, 0, words(id));
}

/** GOAWAY. `status`: 0 for a normal end, 1 for a protocol error. */
export function goAwayFrame(lastStreamId: number, status: number): Buffer {
  return controlFrame(TYPE.goAway, 0, words(lastStreamId, status));
}

export function windowUpdateFrame(streamId: number, delta: number): Buffer {
  return controlFrame(TYPE.windowUpdate, 0, words(streamId, delta));
}
