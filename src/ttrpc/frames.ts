/**
 * Frames of ttrpc (github.com/containerd/ttrpc, PROTOCOL.md), the RPC of containerd's shims and of NRI: a head of ten
 * bytes (length of the payload, id of the stream, type, flags; numbers big-endian), then the payload.
 */
import { ByteBlocks } from '../base/byte-blocks.ts';
import { fail } from '../base/fault.ts';
import { ttrpcLimits } from './bounds.ts';

/** Types of a frame. */
export const TTRPC_TYPE = { request: 1, response: 2, data: 3 } as const;

export const TTRPC_HEAD_BYTES = 10;

export interface TtrpcFrame {
  /** Odd: chosen by the client, one for each call, rising. */
  readonly streamId: number;
  /** One of TTRPC_TYPE, or what a later version brings. */
  readonly type: number;
  /** 0 but for streaming calls, of which there are none here. */
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** The frame as it travels. Throws `exhausted` when the payload is longer than the protocol allows. */
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

/** Cuts a stream of bytes into frames, holding at most one that is not whole. */
export class TtrpcParser {
  /** The head of the next frame, or undefined while its bytes come in. */
  #head:
    | { readonly length: number; readonly streamId: number; readonly type: number; readonly flags: number }
    | undefined;
  #headBytes = new Uint8Array(TTRPC_HEAD_BYTES);
  readonly #payload = new ByteBlocks('read a ttrpc message', ttrpcLimits.messageBytes);
  /** Bytes of the head that are there. */
  #have = 0;

  /** True between two frames: an end of the connection elsewhere cuts one off. */
  get isBetweenFrames(): boolean {
    return this.#head === undefined && this.#have === 0;
  }

  /** The frames that are whole with this chunk. Throws `exhausted` on a length beyond the protocol's; no more can be read then. */
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

  /** What is left of the bytes. */
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
    // a copy: the chunk that a small message came in may be large and long-lived
    this.#payload.appendCopy(part);
    if (this.#payload.size < length) return undefined;
    this.#head = undefined;
    return { frame: { streamId, type, flags, payload: this.#payload.takeAll() }, taken: part.length };
  }
}
