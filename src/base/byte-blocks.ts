/**
 * A buffer for bytes that come in pieces. A piece of one byte that is kept as an object of its own costs several
 * hundred bytes, and may keep the 64 KiB alive that it was read in, so that a bound in bytes bounds nothing. Here small
 * pieces are copied into blocks: memory is at most twice `size`, and every operation is O(1) for each piece and byte.
 */
import { fail } from './fault.ts';
import { Fifo } from './fifo.ts';
import { pieceLimits } from './bounds.ts';

const { leastChargeBytes, blockBytes, wholeBytes } = pieceLimits;

const NOTHING = new Uint8Array(0);

/**
 * What a piece of `length` bytes counts against a bound in bytes where pieces are kept separately: each object costs
 * memory, too.
 */
export function pieceCharge(length: number): number {
  return length < leastChargeBytes ? leastChargeBytes : length;
}

/**
 * Frees the memory of unused bytes now instead of at a later garbage collection. Leaves small arrays and views of
 * larger ones.
 */
export function freeBytes(bytes: Uint8Array): void {
  if (bytes.length < wholeBytes) return;
  if (bytes.buffer instanceof ArrayBuffer && bytes.buffer.byteLength === bytes.length)
    bytes.buffer.transfer(0);
}

function freeBlock(part: Uint8Array): void {
  if (part.buffer instanceof ArrayBuffer) part.buffer.transfer(0);
}

/** First in, first out; the borders between pieces are lost. */
export class ByteBlocks {
  readonly #name: string;
  readonly #bytesMax: number;
  /** Blocks that are complete. */
  readonly #full = new Fifo<Uint8Array>();
  /** The last block; its bytes from `#tailBytes` on are free. */
  #tail: Uint8Array = NOTHING;
  #tailBytes = 0;
  /** Number of bytes taken from the first block. */
  #taken = 0;
  #size = 0;

  /** `name`: begins the error message when there are more than `bytesMax`. */
  constructor(name: string, bytesMax: number) {
    this.#name = name;
    this.#bytesMax = bytesMax;
  }

  /** Number of bytes that wait. */
  get size(): number {
    return this.#size;
  }

  /** Number of bytes that may be added. */
  get room(): number {
    return this.#bytesMax - this.#size;
  }

  /**
   * Adds a piece. A large one may be kept without a copy and must not be changed by the caller; a small one is copied.
   * Throws `exhausted`, and adds nothing, when there is no room for all of it.
   */
  append(bytes: Uint8Array): void {
    if (bytes.length > this.room) fail('exhausted', `${this.#name}: more than ${this.#bytesMax} bytes`);
    this.#size += bytes.length;
    if (bytes.length >= wholeBytes) return this.#appendWhole(bytes);
    const free = this.#tail.length - this.#tailBytes;
    this.#tail.set(bytes.length <= free ? bytes : bytes.subarray(0, free), this.#tailBytes);
    this.#tailBytes += Math.min(bytes.length, free);
    if (bytes.length <= free) return;
    const rest = bytes.subarray(free);
    this.#closeTail();
    // as large as the bytes held already: the free part of the last block is then at most half of all
    this.#tail = new Uint8Array(Math.max(rest.length, leastChargeBytes, Math.min(this.#size, blockBytes)));
    this.#tail.set(rest);
    this.#tailBytes = rest.length;
  }

  /** As `append`, for bytes that the caller may change afterwards: they are always copied. */
  appendCopy(bytes: Uint8Array): void {
    this.append(bytes.length < wholeBytes ? bytes : new Uint8Array(bytes));
  }

  #appendWhole(bytes: Uint8Array): void {
    this.#closeTail();
    // a view of something much larger would hold all of it, unless the piece before it does so already
    const isHeld = this.#full.last()?.buffer === bytes.buffer;
    this.#full.push(!isHeld && bytes.buffer.byteLength > 2 * bytes.length ? new Uint8Array(bytes) : bytes);
  }

  /** Moves the last block to the others, without its free part if that is the larger one. */
  #closeTail(): void {
    const isFirst = this.#full.length === 0;
    const from = isFirst ? this.#taken : 0;
    if (this.#tailBytes > from) {
      const isHalfEmpty = this.#tailBytes - from < this.#tail.length / 2;
      this.#full.push(
        isHalfEmpty ? this.#tail.slice(from, this.#tailBytes) : this.#tail.subarray(from, this.#tailBytes),
      );
    }
    if (isFirst) this.#taken = 0;
    this.#tail = NOTHING;
    this.#tailBytes = 0;
  }

  /** The waiting bytes of the first block. */
  #first(): Uint8Array {
    const first = this.#full.first();
    return first === undefined
      ? this.#tail.subarray(this.#taken, this.#tailBytes)
      : first.subarray(this.#taken);
  }

  /** Removes that many bytes from the first block, which must have them. */
  #drop(bytes: number): void {
    this.#size -= bytes;
    this.#taken += bytes;
    const first = this.#full.first();
    if (first !== undefined) {
      if (this.#taken < first.length) return;
      this.#full.shift();
      this.#taken = 0;
    } else if (this.#taken === this.#tailBytes && this.#tail.length > leastChargeBytes) {
      // an empty queue holds no large block: there may be thousands of them
      this.#tail = NOTHING;
      this.#tailBytes = 0;
      this.#taken = 0;
    }
  }

  /** Takes the contiguous bytes at the front, at most `most`; undefined when nothing waits. Never copies. */
  shift(most: number = Infinity): Uint8Array | undefined {
    if (this.#size === 0) return undefined;
    const first = this.#first();
    const bytes = first.length <= most ? first : first.subarray(0, most);
    this.#drop(bytes.length);
    return bytes;
  }

  /** The first `count` bytes, or as many as wait, without taking them. The caller must not keep or change them. */
  peek(count: number): Uint8Array {
    const first = this.#first();
    if (first.length >= count || first.length === this.#size) return first.subarray(0, count);
    return this.#copy(Math.min(count, this.#size));
  }

  /** Takes the first `count` bytes in one array that the caller owns. As many must wait. */
  take(count: number): Uint8Array {
    if (count > this.#size) fail('bug', `${this.#name}: took ${count} bytes of ${this.#size}`);
    if (this.#first().length >= count) return count === 0 ? NOTHING : (this.shift(count) ?? NOTHING);
    const whole = new Uint8Array(count);
    for (let at = 0; at < count;) {
      const part = this.shift(count - at) ?? NOTHING;
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  /** Takes all in one array. */
  takeAll(): Uint8Array {
    return this.take(this.#size);
  }

  /**
   * As `takeAll`, and frees the memory of the blocks now instead of at a later garbage collection. Only for bytes added
   * by `appendCopy`, and if nothing was taken or peeked at before: views of the blocks would become empty.
   */
  takeAllAndFree(): Uint8Array {
    const whole = new Uint8Array(this.#size);
    this.moveTo(whole, 0);
    return whole;
  }

  /** As `takeAllAndFree`, into an array of the caller that has room for all bytes from `from` on. */
  moveTo(target: Uint8Array, from: number): void {
    let at = from;
    for (let part = this.shift(); part !== undefined; part = this.shift()) {
      target.set(part, at);
      at += part.length;
      freeBlock(part);
    }
    // the last block may have been freed
    this.clear();
  }

  /**
   * Keeps the first `size` bytes in a block of their own, and frees the memory of all others now. Only where
   * `takeAllAndFree` is allowed.
   */
  cut(size: number): void {
    if (this.#size <= size) return;
    const first = new Uint8Array(this.peek(size));
    for (let part = this.shift(); part !== undefined; part = this.shift()) freeBlock(part);
    this.clear();
    this.append(first);
  }

  /** Drops all. */
  clear(): void {
    this.#full.clear();
    this.#tail = NOTHING;
    this.#tailBytes = 0;
    this.#taken = 0;
    this.#size = 0;
  }

  /** Copies the first `count` bytes, which are in several blocks. */
  #copy(count: number): Uint8Array {
    const copy = new Uint8Array(count);
    let at = 0;
    let from = this.#taken;
    const put = (block: Uint8Array): void => {
      const part = block.subarray(from, from + count - at);
      copy.set(part, at);
      at += part.length;
      from = 0;
    };
    for (const block of this.#full) {
      if (at === count) return copy;
      put(block);
    }
    put(this.#tail.subarray(0, this.#tailBytes));
    return copy;
  }
}
