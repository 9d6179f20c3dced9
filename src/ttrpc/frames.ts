/**
 * Frames of ttrpc (github.com/containerd/ttrpc, PROTOCOL.md). A frame is a head of ten bytes, all numbers
 * big-endian (4 bytes length of the payload, 4 bytes stream id, 1 byte type, 1 byte flags), followed by the
 * payload.
 */
import { ByteBlocks } from '../base/byte-blocks.ts';
import { fail } from '../base/fault.ts';
import { ttrpcLimits } from './bounds.ts';

/** Types of a frame. */
export const TTRPC_TYPE = { request: 1, response: 2, data: 3 } as const;

const TTRPC_HEAD_BYTES = 10;

export interface TtrpcFrame {
  /** Chosen by the client: odd, rising, one for each call. */
  readonly streamId: number;
  /** One of TTRPC_TYPE, or a type of a later version of the protocol. */
  readonly type: number;
  /** Only streaming calls set flags, and this client and server have none. */
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** The frame's bytes on the wire. Throws `exhausted` when the payload is longer than the protocol allows. */
export function encodeTtrpcFrame({ streamId, type, flags, payload }: TtrpcFrame): Uint8Array {
  if (payload.length > ttrpcLimits.messageBytes) {
    fail(
      'exhausted',
      `send a ttrpc message of ${payload.length} bytes: the protocol allows ${ttrpcLimits.messageBytes}`,
    );
  }
  const bytes = new Uint8Array(TTRPC_HEAD_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, payload.length);
  view.setUint32(4, streamId);
  view.setUint8(8, type);
  view.setUint8(9, flags);
  bytes.set(payload, TTRPC_HEAD_BYTES);
  return bytes;
}

/** Cuts a byte stream into frames. Holds at most one incomplete frame. */
export class TtrpcParser {
  /** The head of the frame whose payload is being read; undefined while the head itself is incomplete. */
  #head:
    | { readonly length: number; readonly streamId: number; readonly type: number; readonly flags: number }
    | undefined;
  #headBytes = new Uint8Array(TTRPC_HEAD_BYTES);
  readonly #payload = new ByteBlocks('read a ttrpc message', ttrpcLimits.messageBytes);
  /** Bytes of the head that have arrived. */
  #have = 0;

  /** False when the stream has stopped inside a frame, so that an end of the connection now cuts it off. */
  get isBetweenFrames(): boolean {
    return this.#head === undefined && this.#have === 0;
  }

  /**
   * The frames that this chunk completes. Throws `exhausted` on a length above the protocol's limit; after
   * that the stream can't be parsed any further.
   */
  *push(chunk: Uint8Array): Generator<TtrpcFrame> {
    let rest = chunk;
    for (;;) {
      if (this.#head === undefined) {
        rest = this.#takeHead(rest);
        if (this.#head === undefined) return;
      }
      const frame = this.#takePayload(this.#head, rest);
      if (frame === undefined) return;
      rest = rest.subarray(frame.taken);
      yield frame.frame;
    }
  }

  /** Returns the bytes that do not belong to the head. */
  #takeHead(bytes: Uint8Array): Uint8Array {
    const part = bytes.subarray(0, TTRPC_HEAD_BYTES - this.#have);
    this.#headBytes.set(part, this.#have);
    this.#have += part.length;
    if (this.#have === TTRPC_HEAD_BYTES) {
      const view = new DataView(this.#headBytes.buffer);
      const length = view.getUint32(0);
      if (length > ttrpcLimits.messageBytes) {
        fail(
          'exhausted',
          `read a ttrpc message of ${length} bytes: the protocol allows ${ttrpcLimits.messageBytes}`,
        );
      }
      this.#head = { length, streamId: view.getUint32(4), type: view.getUint8(8), flags: view.getUint8(9) };
      this.#have = 0;
    }
    return bytes.subarray(part.length);
  }

  #takePayload(
    { length, streamId, type, flags }: { length: number; streamId: number; type: number; flags: number },
    bytes: Uint8Array,
  ): { readonly frame: TtrpcFrame; readonly taken: number } | undefined {
    const part = bytes.subarray(0, length - this.#payload.size);
    // Copied, since a small message may have arrived in a large chunk, which a view would keep in memory.
    this.#payload.appendCopy(part);
    if (this.#payload.size < length) return undefined;
    this.#head = undefined;
    return { frame: { streamId, type, flags, payload: this.#payload.takeAll() }, taken: part.length };
  }
}
