/**
 * Finds the ends of frames in a zstd stream (RFC 8878, 3.1). Node 24's decoder silently drops bytes that follow the end
 * of a frame in the same write, so each write must end where a frame ends. Streams with many frames are common
 * (zstd:chunked, pzstd, `cat a.zst b.zst`). Skippable frames are removed here.
 */
import { fail } from '../../base/fault.ts';
import { unpackLimits } from '../bounds.ts';
import { refuseTar } from './tar-header.ts';

const MAGIC = 0xfd2fb528;
const MAGIC_BYTES = Buffer.from('28b52ffd', 'hex');
const SKIPPABLE = 0x184d2a50;
const SKIPPABLE_MASK = 0xfffffff0;
/** Longest frame header after the magic: descriptor, window, dictionary id, content size. */
const HEADER_BYTES = 14;
/** Bytes of the dictionary id and of the content size, by their two-bit codes. */
const DICTIONARY_BYTES = [0, 1, 2, 4];
const CONTENT_SIZE_BYTES = [0, 2, 4, 8];

type Part = 'magic' | 'descriptor' | 'header' | 'skipSize' | 'skip' | 'block' | 'body' | 'checksum';

/** Splits a stream into runs of bytes of which each belongs to one frame. */
export class ZstdFrames {
  #part: Part = 'magic';
  #need = 4;
  readonly #field = Buffer.alloc(HEADER_BYTES);
  #filled = 0;
  #hasChecksum = false;
  #last = false;
  #frames = 0;

  /** The runs of `chunk`, in order. A magic number is held back until it is known whether its frame is skippable. */
  *split(chunk: Uint8Array): Generator<Uint8Array> {
    let from = 0;
    let at = 0;
    while (at < chunk.length) {
      const part = this.#part;
      const take = Math.min(this.#need, chunk.length - at);
      if (part !== 'body' && part !== 'skip') this.#field.set(chunk.subarray(at, at + take), this.#filled);
      this.#filled += take;
      this.#need -= take;
      at += take;
      if (part === 'magic' || part === 'skipSize' || part === 'skip') from = at;
      if (this.#need > 0) break;
      if (this.#next(part)) {
        yield chunk.subarray(from, at);
        from = at;
      } else if (part === 'magic' && this.#part === 'descriptor') {
        yield MAGIC_BYTES;
      }
    }
    if (from < at) yield chunk.subarray(from, at);
  }

  /** Whether the stream is between two frames, where it may end. */
  get isBetween(): boolean {
    return this.#part === 'magic' && this.#filled === 0;
  }

  #want(part: Part, bytes: number): void {
    this.#part = part;
    this.#need = bytes;
    this.#filled = 0;
  }

  /** Decides what follows a complete part. Returns true if the frame ends here. */
  #next(part: Part): boolean {
    switch (part) {
      case 'magic':
        this.#magic(this.#field.readUInt32LE(0));
        return false;
      case 'descriptor':
        this.#descriptor(this.#field[0] ?? 0);
        return false;
      case 'skipSize':
        this.#want('skip', this.#field.readUInt32LE(0));
        if (this.#need === 0) this.#want('magic', 4);
        return false;
      case 'skip':
        this.#want('magic', 4);
        return false;
      case 'header':
        this.#want('block', 3);
        return false;
      case 'block':
        return this.#block(this.#field.readUIntLE(0, 3));
      case 'body':
        return this.#afterBlock();
      case 'checksum':
        this.#want('magic', 4);
        return true;
    }
  }

  #magic(magic: number): void {
    // an empty frame of nine bytes needs as many writes to the decoder as a large one
    this.#frames += 1;
    if (this.#frames > unpackLimits.zstdFrames) {
      fail('exhausted', `decompress: the zstd stream has more than ${unpackLimits.zstdFrames} frames`, {
        retryable: false,
      });
    }
    if (magic === MAGIC) this.#want('descriptor', 1);
    else if ((magic & SKIPPABLE_MASK) >>> 0 === SKIPPABLE) this.#want('skipSize', 4);
    else refuseTar('the zstd stream has bytes that are not a frame');
  }

  #descriptor(descriptor: number): void {
    const isSingleSegment = (descriptor & 0x20) !== 0;
    const sizeCode = descriptor >> 6;
    const sizeBytes = sizeCode === 0 && isSingleSegment ? 1 : (CONTENT_SIZE_BYTES[sizeCode] ?? 0);
    const rest = (isSingleSegment ? 0 : 1) + (DICTIONARY_BYTES[descriptor & 3] ?? 0) + sizeBytes;
    this.#hasChecksum = (descriptor & 0x04) !== 0;
    if (rest === 0) this.#want('block', 3);
    else this.#want('header', rest);
  }

  #block(header: number): boolean {
    this.#last = (header & 1) !== 0;
    const type = (header >> 1) & 3;
    if (type === 3) refuseTar('the zstd stream has a block of a reserved type');
    // a run-length block stores one byte, whatever length it states
    const bytes = type === 1 ? 1 : header >> 3;
    if (bytes === 0) return this.#afterBlock();
    this.#want('body', bytes);
    return false;
  }

  #afterBlock(): boolean {
    if (!this.#last) this.#want('block', 3);
    else if (this.#hasChecksum) this.#want('checksum', 4);
    else {
      this.#want('magic', 4);
      return true;
    }
    return false;
  }
}
