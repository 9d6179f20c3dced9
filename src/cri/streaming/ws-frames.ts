/** Frames of the WebSocket protocol (RFC 6455, section 5), of servers and clients. */
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { fail } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Reasons of a close frame (RFC 6455, 7.4.1). */
export const CLOSE = { normal: 1000, protocolError: 1002, tooBig: 1009, internal: 1011 } as const;

export type WsMessage =
  /** A complete message, also if it was sent in several frames; or, from a parser with `inPieces`, a piece of one. */
  | {
      readonly kind: 'message';
      readonly isText: boolean;
      readonly bytes: Buffer;
      /** Not the first piece of its message. */ readonly isContinued?: true;
    }
  | { readonly kind: 'ping'; readonly bytes: Buffer }
  | { readonly kind: 'pong' }
  | { readonly kind: 'close'; readonly code: number };

/** Bytes of the mask of a client's frame. A server's frames have none (RFC 6455, 5.1). */
const MASK_BYTES = 4;

/** Longest header of a client's frame: two bytes, a length of eight, a mask of four (RFC 6455, 5.2). */
const HEAD_BYTES = 14;

/** Longest payload of a control frame (RFC 6455, 5.5). */
const CONTROL_BYTES = 125;

function broken(reason: string): never {
  return fail('invalidRequest', `read a WebSocket frame: ${reason}`);
}

interface Head {
  readonly fin: boolean;
  readonly opcode: number;
  readonly headBytes: number;
  readonly payloadBytes: number;
}

/** A data frame that is not completely received. */
interface OpenFrame {
  readonly fin: boolean;
  /** Empty in a server's frame. */
  readonly mask: Buffer;
  readonly payloadBytes: number;
  /** Bytes of the payload that are not received yet. */
  left: number;
}

/** A message that is not complete. */
interface Begun {
  readonly isText: boolean;
  /** Its payload so far; empty with `inPieces`. */
  readonly parts: ByteBlocks;
  size: number;
  /** A piece of it was passed on. */
  hasBegun: boolean;
}

/**
 * Parses a stream of bytes into messages. Throws `invalidRequest` on a protocol violation, `exhausted` on a message
 * that is too long. `inPieces`: data is passed on as it arrives and not kept, since clients send a whole file in one
 * message. `from` is the peer: a client masks its frames, a server does not.
 */
export class WsParser {
  readonly #inPieces: boolean;
  readonly #maskBytes: number;
  readonly #bytes = new ByteBlocks('read WebSocket frames', streamLimits.unparsedBytes);
  #message: Begun | undefined;
  /** Only with `inPieces`. */
  #open: OpenFrame | undefined;

  constructor(inPieces = false, from: 'client' | 'server' = 'client') {
    this.#inPieces = inPieces;
    this.#maskBytes = from === 'client' ? MASK_BYTES : 0;
  }

  /** Parses the bytes, which the parser owns from then on. */
  *push(chunk: Uint8Array): Generator<WsMessage> {
    this.#bytes.append(chunk);
    for (;;) {
      if (this.#open !== undefined) {
        if (this.#bytes.size === 0) return;
        yield this.#piece(this.#open);
        continue;
      }
      const head = this.#head();
      if (head !== undefined && this.#inPieces && head.opcode < OPCODE.close) {
        this.#beginFrame(head);
        continue;
      }
      if (head === undefined || this.#bytes.size < head.headBytes + head.payloadBytes) return;
      const bytes = this.#take(head.headBytes + head.payloadBytes);
      const payload = bytes.subarray(head.headBytes);
      unmask(payload, bytes.subarray(head.headBytes - this.#maskBytes, head.headBytes));
      const message = this.#frame(head, payload);
      if (message !== undefined) yield message;
    }
  }

  /** The header of the next frame, as soon as it is received: its bounds are checked before the payload arrives. */
  #head(): Head | undefined {
    if (this.#bytes.size < 2) return undefined;
    const bytes = bufferOf(this.#bytes.peek(HEAD_BYTES));
    const [first = 0, second = 0] = bytes;
    if ((first & 0x70) !== 0) broken('a reserved bit is set');
    const isMasked = (second & 0x80) !== 0;
    if (isMasked !== this.#maskBytes > 0) broken(isMasked ? 'masked' : 'not masked');
    const opcode = first & 0x0f;
    const fin = (first & 0x80) !== 0;
    const short = second & 0x7f;
    const extra = short === 127 ? 8 : short === 126 ? 2 : 0;
    const headBytes = 2 + extra + this.#maskBytes;
    if (opcode >= OPCODE.close && (short > CONTROL_BYTES || !fin))
      broken('a control frame is too long or fragmented');
    if (bytes.length < headBytes) return undefined;
    const payloadBytes =
      extra === 0 ? short : extra === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
    const before = opcode === OPCODE.continuation ? (this.#message?.size ?? 0) : 0;
    const most = this.#inPieces ? streamLimits.webSocketStreamedBytes : streamLimits.webSocketMessageBytes;
    if (before + payloadBytes > most) fail('exhausted', `read a WebSocket message: more than ${most} bytes`);
    return { fin, opcode, headBytes, payloadBytes };
  }

  #beginFrame({ fin, opcode, headBytes, payloadBytes }: Head): void {
    const mask = Buffer.from(this.#take(headBytes).subarray(headBytes - this.#maskBytes));
    const message = this.#messageOf(opcode);
    message.size += payloadBytes;
    if (payloadBytes > 0) this.#open = { fin, mask, payloadBytes, left: payloadBytes };
    else if (fin) this.#message = undefined;
  }

  /** The message that a data frame belongs to. */
  #messageOf(opcode: number): Begun {
    if (opcode === OPCODE.continuation) return this.#message ?? broken('a continuation without a message');
    if (opcode !== OPCODE.text && opcode !== OPCODE.binary) broken(`opcode ${opcode}`);
    if (this.#message !== undefined) broken('a new message before the end of another');
    const begun: Begun = {
      isText: opcode === OPCODE.text,
      parts: new ByteBlocks('read a WebSocket message', streamLimits.webSocketMessageBytes),
      size: 0,
      hasBegun: false,
    };
    this.#message = begun;
    return begun;
  }

  #piece(frame: OpenFrame): WsMessage {
    const message = this.#message ?? broken('a payload without a message');
    const bytes = bufferOf(this.#bytes.shift(frame.left) ?? broken('a payload without a message'));
    unmask(bytes, frame.mask, frame.payloadBytes - frame.left);
    frame.left -= bytes.length;
    const { isText, hasBegun } = message;
    message.hasBegun = true;
    if (frame.left === 0) {
      this.#open = undefined;
      if (frame.fin) this.#message = undefined;
    }
    return { kind: 'message', isText, bytes, ...(hasBegun ? { isContinued: true } : {}) };
  }

  #frame({ fin, opcode }: Head, payload: Buffer): WsMessage | undefined {
    switch (opcode) {
      case OPCODE.text:
      case OPCODE.binary:
      case OPCODE.continuation:
        return this.#collect(this.#messageOf(opcode), fin, payload);
      case OPCODE.close:
        if (payload.length === 1) broken('a close frame of one byte');
        return { kind: 'close', code: payload.length === 0 ? CLOSE.normal : payload.readUInt16BE(0) };
      case OPCODE.ping:
        return { kind: 'ping', bytes: payload };
      case OPCODE.pong:
        return { kind: 'pong' };
      default:
        return broken(`opcode ${opcode}`);
    }
  }

  #collect(message: Begun, fin: boolean, payload: Buffer): WsMessage | undefined {
    message.parts.append(payload);
    message.size += payload.length;
    if (!fin) return undefined;
    this.#message = undefined;
    return { kind: 'message', isText: message.isText, bytes: bufferOf(message.parts.takeAll()) };
  }

  #take(bytes: number): Buffer {
    return bufferOf(this.#bytes.take(bytes));
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/**
 * Payloads from this size on are unmasked in 32-bit words; for smaller ones, creating the view costs more than it
 * saves.
 */
const WORDS_FROM_BYTES = 128;

/** Masks or unmasks in place. `from` is the offset of these bytes in the payload of their frame. */
function unmask(payload: Buffer, mask: Buffer, from = 0): void {
  if (mask.length === 0) return;
  const { buffer, byteOffset, length } = payload;
  // a Uint32Array must begin at a multiple of four
  const lead = length < WORDS_FROM_BYTES ? length : -byteOffset & 3;
  unmaskBytes(payload, mask, from, lead);
  if (lead === length) return;
  const turn = 8 * ((from + lead) % 4);
  const first = mask.readUInt32LE(0);
  // the mask rotated to that offset; all supported machines are little-endian, so the view is as well
  const word = turn === 0 ? first : (first >>> turn) | (first << (32 - turn));
  const words = new Uint32Array(buffer, byteOffset + lead, (length - lead) >>> 2);
  for (let at = 0; at < words.length; at += 1) words[at] = (words[at] ?? 0) ^ word;
  const rest = lead + words.byteLength;
  unmaskBytes(payload.subarray(rest), mask, from + rest, length - rest);
}

function unmaskBytes(payload: Buffer, mask: Buffer, from: number, count: number): void {
  for (let at = 0; at < count; at += 1) payload[at] = (payload[at] ?? 0) ^ (mask[(from + at) % 4] ?? 0);
}

/** The header of a server's frame, which is not masked; the payload follows it. */
export function frameHead(opcode: number, length: number): Buffer {
  if (length <= CONTROL_BYTES) return Buffer.from([0x80 | opcode, length]);
  if (length <= 0xffff) {
    const head = Buffer.from([0x80 | opcode, 126, 0, 0]);
    head.writeUInt16BE(length, 2);
    return head;
  }
  const head = Buffer.alloc(10);
  head[0] = 0x80 | opcode;
  head[1] = 127;
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

/** A client's frame: header, mask and payload. The mask has four bytes that nobody can predict (RFC 6455, 5.3). */
export function maskedFrame(opcode: number, mask: Buffer, parts: readonly Uint8Array[]): Buffer {
  const payload = Buffer.concat(parts);
  unmask(payload, mask);
  const head = frameHead(opcode, payload.length);
  head[1] = (head[1] ?? 0) | 0x80;
  return Buffer.concat([head, mask, payload]);
}

/** The payload of a close frame. */
export function closePayload(code: number, reason: string): Buffer {
  const text = Buffer.from(reason, 'utf8').subarray(0, CONTROL_BYTES - 2);
  const payload = Buffer.alloc(2 + text.length);
  payload.writeUInt16BE(code, 0);
  // a character that was cut in the middle would make the frame invalid
  payload.set(Buffer.from(text.toString('utf8').replace(/\uFFFD+$/u, '')).subarray(0, text.length), 2);
  return payload;
}
