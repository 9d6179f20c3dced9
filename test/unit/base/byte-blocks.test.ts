// Bytes kept in blocks: what is held is bounded by the bytes, and the work by the pieces.
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ByteBlocks, pieceCharge } from '../../../src/base/byte-blocks.ts';
import { FaultError } from '../../../src/base/fault.ts';
import { Fifo } from '../../../src/base/fifo.ts';
import { pieceLimits } from '../../../src/base/bounds.ts';

const MIB = 1024 * 1024;

/** Bytes 0, 1, 2 … 250, 0 …: 251 is prime, so that a displaced block shows. */
function pattern(length: number, from = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (from + at) % 251);
}

interface Work {
  /** Copies into a block, and their bytes. */
  calls: number;
  copied: number;
  /** Bytes of all blocks that were begun. */
  made: number;
  /** Items of arrays that were moved. */
  moved: number;
}

/** Counts the operations of `run`; by hand, as a spy uses arrays itself. */
function workOf(run: () => void): Work {
  const work: Work = { calls: 0, copied: 0, made: 0, moved: 0 };
  const [set, slice, shift] = [Uint8Array.prototype.set, Array.prototype.slice, Array.prototype.shift];
  Uint8Array.prototype.set = function count(
    this: Uint8Array,
    source: ArrayLike<number>,
    offset?: number,
  ): void {
    work.calls += 1;
    work.copied += source.length;
    if (offset === undefined) work.made += this.length;
    set.call(this, source, offset);
  };
  Array.prototype.slice = function count(this: unknown[], from?: number, to?: number): unknown[] {
    const part = slice.call(this, from, to);
    work.moved += part.length;
    return part;
  };
  Array.prototype.shift = function count(this: unknown[]): unknown {
    work.moved += this.length;
    return shift.call(this);
  };
  try {
    run();
  } finally {
    Uint8Array.prototype.set = set;
    Array.prototype.slice = slice;
    Array.prototype.shift = shift;
  }
  return work;
}

describe('S85 bytes in blocks', () => {
  it('many pieces of one byte are held in blocks of twice their bytes at most, each copied once', () => {
    const blocks = new ByteBlocks('test', MIB);
    const piece = Uint8Array.of(7);
    const { calls, copied, made } = workOf(() => {
      for (let at = 0; at < MIB / 4; at += 1) blocks.append(piece);
    });
    expect(blocks.size).toBe(MIB / 4);
    expect(copied).toBe(MIB / 4);
    expect(made).toBeLessThanOrEqual(MIB / 2);
    // one for each piece, and one for each new block
    expect(calls).toBeLessThanOrEqual(MIB / 2);
    expect(Buffer.compare(blocks.takeAll(), Buffer.alloc(MIB / 4, 7))).toBe(0);
  });

  it('taking from the front moves nothing, however much waits', () => {
    const blocks = new ByteBlocks('test', 16 * MIB);
    for (let at = 0; at < 1024; at += 1) blocks.append(new Uint8Array(16 * 1024));
    const { copied, moved } = workOf(() => {
      for (let left = 200_000; left > 0; left -= blocks.shift(Math.min(9, left))?.length ?? 0);
    });
    expect(copied).toBe(0);
    expect(moved).toBeLessThanOrEqual(1024);
    expect(blocks.size).toBe(16 * MIB - 200_000);
  });

  it('returns what was put in, whatever the pieces and the takes', () => {
    const total = 600_000;
    const sizes = [1, 1, 3, 255, 256, 257, 1, 16_384, 1, 20_000, 5000, 1, 70_000, 2, 15_999];
    const takes = [1, 2, 9, 100, 4096, 33_000, 14, 0];
    const blocks = new ByteBlocks('test', total);
    const out = new Uint8Array(total);
    let [put, taken, turn] = [0, 0, 0];
    while (taken < total) {
      const size = Math.min(sizes[turn % sizes.length] ?? 1, total - put);
      blocks.append(pattern(size, put));
      put += size;
      for (const count of takes) {
        if (blocks.size < count && put < total) continue;
        const wanted = Math.min(count, blocks.size);
        const seen = Uint8Array.from(blocks.peek(wanted));
        const bytes = turn % 2 === 0 ? blocks.take(wanted) : (blocks.shift(wanted) ?? new Uint8Array(0));
        expect(bytes).toEqual(seen.subarray(0, bytes.length));
        out.set(bytes, taken);
        taken += bytes.length;
      }
      if (turn > 20_000) throw new Error('no progress');
      turn += 1;
    }
    expect(Buffer.compare(out, pattern(total))).toBe(0);
    expect(blocks.size).toBe(0);
    expect(blocks.shift()).toBeUndefined();
  });

  it('a large piece is not copied, but a small view of something large is', () => {
    const [large, view] = [pattern(32 * 1024), pattern(MIB).subarray(5, 5 + 32 * 1024)];
    const blocks = new ByteBlocks('test', MIB);
    blocks.append(large);
    blocks.append(view);
    expect(blocks.shift()?.buffer).toBe(large.buffer);
    const second = blocks.shift();
    expect(second?.buffer.byteLength).toBe(32 * 1024);
    expect(second).toEqual(Uint8Array.from(view));
  });

  it('a view into the buffer of the piece before it is not copied; alone it is', () => {
    const read = pattern(64 * 1024);
    const blocks = new ByteBlocks('test', MIB);
    blocks.append(read.subarray(0, 40 * 1024));
    blocks.append(read.subarray(40 * 1024));
    expect([blocks.shift()?.buffer, blocks.shift()?.buffer]).toEqual([read.buffer, read.buffer]);
    blocks.append(read.subarray(40 * 1024));
    expect(blocks.shift()?.buffer.byteLength).toBe(24 * 1024);
  });

  it('a byte between large pieces holds no block', () => {
    const blocks = new ByteBlocks('test', 4 * MIB);
    for (let at = 0; at < 64; at += 1) {
      blocks.append(pattern(16 * 1024));
      blocks.append(Uint8Array.of(at));
    }
    let held = 0;
    const seen = new Set<ArrayBufferLike>();
    const size = blocks.size;
    for (let bytes = blocks.shift(); bytes !== undefined; bytes = blocks.shift()) {
      if (!seen.has(bytes.buffer)) held += bytes.buffer.byteLength;
      seen.add(bytes.buffer);
    }
    expect(held).toBeLessThanOrEqual(2 * size);
  });

  it('an empty queue holds no large block, and returned bytes are not overwritten', () => {
    const blocks = new ByteBlocks('test', MIB);
    const out: Uint8Array[] = [];
    for (let at = 0; at < 10_000; at += 1) {
      blocks.append(Uint8Array.of(at % 251));
      out.push(blocks.shift() ?? new Uint8Array(0));
    }
    expect(Buffer.compare(Buffer.concat(out), pattern(10_000))).toBe(0);
    expect(new Set(out.map((bytes) => bytes.buffer.byteLength))).toEqual(new Set([256]));
    for (let at = 0; at < 100_000; at += 1) blocks.append(Uint8Array.of(1));
    while (blocks.size > 0) blocks.shift();
    blocks.append(Uint8Array.of(1));
    expect(blocks.shift()?.buffer.byteLength).toBe(256);
  });

  it('frees the memory of taken bytes at once, and goes on', () => {
    const blocks = new ByteBlocks('test', MIB);
    for (const size of [1, 300, 20_000, 5]) blocks.appendCopy(pattern(size));
    const whole = blocks.takeAllAndFree();
    expect(Buffer.compare(whole, Buffer.concat([1, 300, 20_000, 5].map((size) => pattern(size))))).toBe(0);
    expect([blocks.size, blocks.takeAllAndFree().length]).toEqual([0, 0]);
    blocks.appendCopy(pattern(7));
    expect(blocks.takeAllAndFree()).toEqual(pattern(7));
    const freed = vi.spyOn(ArrayBuffer.prototype, 'transfer');
    onTestFinished(() => freed.mockRestore());
    for (let at = 0; at < 1000; at += 1) blocks.appendCopy(new Uint8Array(1000));
    blocks.takeAllAndFree();
    // all of it lay in blocks of this size at most
    expect(freed.mock.calls.length).toBeGreaterThanOrEqual(1_000_000 / pieceLimits.blockBytes);
    expect(freed.mock.calls.every(([bytes]) => bytes === 0)).toBe(true);
    blocks.appendCopy(pattern(9));
    expect(blocks.takeAllAndFree()).toEqual(pattern(9));
  });

  it.each([[1, 300, 20_000, 70_000, 5], [300_000], [5, 6]])(
    'is cut to its first bytes, of pieces of %i and more, and goes on',
    (...sizes) => {
      const whole = Buffer.concat(sizes.map((size) => pattern(size)));
      for (const most of [0, 1, 10, 1000, 65_536, whole.length - 1, whole.length, MIB]) {
        const blocks = new ByteBlocks('test', MIB);
        for (const size of sizes) blocks.appendCopy(pattern(size));
        blocks.cut(most);
        blocks.appendCopy(pattern(7));
        const rest = Buffer.concat([whole.subarray(0, most), pattern(7)]);
        expect([blocks.size, Buffer.compare(blocks.takeAllAndFree(), rest)]).toEqual([rest.length, 0]);
      }
    },
  );

  it('refuses a piece beyond its bound, and keeps nothing of it', () => {
    const blocks = new ByteBlocks('read the test', 10);
    blocks.append(pattern(8));
    expect(blocks.room).toBe(2);
    expect(() => blocks.append(pattern(3))).toThrow(FaultError);
    expect(() => blocks.append(pattern(3))).toThrow('read the test: more than 10 bytes');
    blocks.append(pattern(2));
    expect(blocks.size).toBe(10);
    blocks.clear();
    expect([blocks.size, blocks.room, blocks.takeAll().length]).toEqual([0, 10, 0]);
    expect(() => blocks.take(1)).toThrow('took 1 bytes of 0');
  });

  it('a separately kept piece counts for at least 256 bytes', () => {
    expect([0, 1, 255, 256, 257, MIB].map(pieceCharge)).toEqual([256, 256, 256, 256, 257, MIB]);
  });
});

describe('S85 a queue', () => {
  it('moves each item once on average, however long it is', () => {
    const queue = new Fifo<number>();
    for (let at = 0; at < 10_000; at += 1) queue.push(at);
    const taken: (number | undefined)[] = [];
    const { moved } = workOf(() => {
      for (let at = 0; at < 10_000; at += 1) {
        taken.push(queue.shift());
        queue.push(10_000 + at);
      }
    });
    expect(moved).toBeLessThanOrEqual(30_000);
    expect(taken).toEqual(Array.from({ length: 10_000 }, (_, at) => at));
    expect([queue.length, queue.first(), queue.last(), [...queue].length]).toEqual([
      10_000, 10_000, 19_999, 10_000,
    ]);
    queue.clear();
    expect([queue.length, queue.shift(), queue.first(), queue.last()]).toEqual([
      0,
      undefined,
      undefined,
      undefined,
    ]);
  });
});
