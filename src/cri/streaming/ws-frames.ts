/** Frames of the WebSocket protocol (RFC 6455, section 5), as a server reads and writes them. */
import { fail } from '../../base/fault.ts';
import { streamLimits } from '../../base/limits.ts';

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Reasons of a close frame (RFC 6455, 7.4.1). */
export const CLOSE = { normal: 1000, protocolError: 1002, tooBig: 1009, internal: 1011 } as const;

export type WsMessage =
  /** A whole message, whatever number of frames it came in. */
  | { readonly kind: 'message'; readonly isText: boolean; readonly bytes: Buffer }
  | { readonly kind: 'ping'; readonly bytes: Buffer }
  | { readonly kind: 'pong' }
  | { readonly kind: 'close'; readonly code: number };

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

/** Cuts a stream of bytes into messages. Throws `invalidRequest` on a breach, `exhausted` on a message that is too long. */
export class WsParser {
  #chunks: Buffer[] = [];
  #size = 0;
  #message: { readonly isText: boolean; readonly parts: Buffer[]; size: number } | undefined;

  *push(chunk: Buffer): Generator<WsMessage> {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    for (;;) {
      const head = this.#head();
      if (head === undefined || this.#size < head.headBytes + head.payloadBytes) return;
      const bytes = this.#take(head.headBytes + head.payloadBytes);
      const payload = bytes.subarray(head.headBytes);
      unmask(payload, bytes.subarray(head.headBytes - 4, head.headBytes));
      const message = this.#frame(head, payload);
      if (message !== undefined) yield message;
    }
  }

  /** The head of the next frame, as soon as it is there: its bounds are checked before its payload is awaited. */
  #head(): Head | undefined {
    if (this.#size < 2) return undefined;
    const bytes = this.#peek(14);
    const [first = 0, second = 0] = bytes;
    if ((first & 0x70) !== 0) broken('a reserved bit is set');
    if ((second & 0x80) === 0) broken('a client must mask its frames');
    const opcode = first & 0x0f;
    const fin = (first & 0x80) !== 0;
    const short = second & 0x7f;
    const extra = short === 127 ? 8 : short === 126 ? 2 : 0;
    const headBytes = 2 + extra + 4;
    if (opcode >= OPCODE.close && (short > CONTROL_BYTES || !fin)) broken('a control frame is too long or in parts');
    if (bytes.length < headBytes) return undefined;
    const payloadBytes = extra === 0 ? short : extra === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
    const before = opcode === OPCODE.continuation ? (this.#message?.size ?? 0) : 0;
    if (before + payloadBytes > streamLimits.webSocketMessageBytes) {
      fail('exhausted', `read a WebSocket message: more than ${streamLimits.webSocketMessageBytes} bytes`);
    }
    return { fin, opcode, headBytes, payloadBytes };
  }

  #frame({ fin, opcode }: Head, payload: Buffer): WsMessage | undefined {
    switch (opcode) {
      case OPCODE.text:
      case OPCODE.binary:
        if (this.#message !== undefined) broken('a message begins inside another');
        if (fin) return { kind: 'message', isText: opcode === OPCODE.text, bytes: payload };
        this.#message = { isText: opcode === OPCODE.text, parts: [payload], size: payload.length };
        return undefined;
      case OPCODE.continuation:
        return this.#continue(fin, payload);
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

  #continue(fin: boolean, payload: Buffer): WsMessage | undefined {
    const message = this.#message;
    if (message === undefined) return broken('a continuation of nothing');
    // an endless row of empty frames would grow the list for ever
    if (payload.length > 0) message.parts.push(payload);
    message.size += payload.length;
    if (!fin) return undefined;
    this.#message = undefined;
    return { kind: 'message', isText: message.isText, bytes: Buffer.concat(message.parts) };
  }

  /** At most `bytes` bytes from the beginning, which stay. */
  #peek(bytes: number): Buffer {
    const [first] = this.#chunks;
    if (first !== undefined && (first.length >= bytes || this.#chunks.length === 1)) return first.subarray(0, bytes);
    const some: Buffer[] = [];
    let size = 0;
    for (const chunk of this.#chunks) {
      if (size >= bytes) break;
      some.push(chunk);
      size += chunk.length;
    }
    return Buffer.concat(some).subarray(0, bytes);
  }

  #take(bytes: number): Buffer {
    const whole = this.#chunks.length === 1 ? (this.#chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#chunks);
    const rest = whole.subarray(bytes);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#size -= bytes;
    return whole.subarray(0, bytes);
  }
}

/** In place; four bytes at a time where they lie so. */
function unmask(payload: Buffer, mask: Buffer): void {
  const key = Buffer.from(mask);
  let at = 0;
  const word = key.readUInt32LE(0);
  for (; at + 4 <= payload.length; at += 4) payload.writeUInt32LE((payload.readUInt32LE(at) ^ word) >>> 0, at);
  for (; at < payload.length; at += 1) payload[at] = (payload[at] ?? 0) ^ (key[at % 4] ?? 0);
}

/** The head of a server's frame, which is not masked; its payload follows. */
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

/** The payload of a close frame. */
export function closePayload(code: number, reason: string): Buffer {
  const text = Buffer.from(reason, 'utf8').subarray(0, CONTROL_BYTES - 2);
  const payload = Buffer.alloc(2 + text.length);
  payload.writeUInt16BE(code, 0);
  // a character that was cut in two would make the frame invalid
  payload.set(Buffer.from(text.toString('utf8').replace(/\uFFFD+$/u, '')).subarray(0, text.length), 2);
  return payload;
}
