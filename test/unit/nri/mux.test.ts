import { duplexPair } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { nriLimits } from '../../../src/nri/bounds.ts';
import { Mux, MuxParser, muxPieces } from '../../../src/nri/mux.ts';

const bytes = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (index * 31 + seed) & 0xff);

/** What a parser gives for these chunks, by connection. */
function parsed(chunks: Iterable<Uint8Array>): Map<number, number[]> {
  const parser = new MuxParser();
  const all = new Map<number, number[]>();
  for (const chunk of chunks) {
    for (const { id, bytes: part } of parser.push(chunk)) all.set(id, [...(all.get(id) ?? []), ...part]);
  }
  return all;
}

describe('pieces of a message', () => {
  test.each([
    [0, []],
    [1, [1]],
    [4096, [4096]],
    [4097, [4096, 1]],
    [100_000, [4096, 95_904]],
  ] as const)('%i bytes go as Go reads them', (length, wanted) => {
    const pieces = [...muxPieces(7, bytes(length))];
    expect(pieces.map((piece) => piece.length - 8)).toEqual(wanted);
    expect([...(parsed(pieces).get(7) ?? [])]).toEqual([...bytes(length)]);
  });
});

describe('a stream of pieces', () => {
  const stream = Buffer.concat([
    ...muxPieces(1, bytes(20)),
    ...muxPieces(2, bytes(5000, 9)),
    ...muxPieces(1, bytes(3, 4)),
  ]);
  const wanted = new Map([
    [1, [...bytes(20), ...bytes(3, 4)]],
    [2, [...bytes(5000, 9)]],
  ]);

  test('is read the same wherever it is cut', () => {
    for (let at = 0; at <= stream.length; at += 1) {
      const got = parsed([stream.subarray(0, at), stream.subarray(at)]);
      if (got.size !== 2 || !equal(got.get(1), wanted.get(1)) || !equal(got.get(2), wanted.get(2)))
        expect(got, `cut at ${at}`).toEqual(wanted);
    }
    expect(parsed([...stream].map((byte) => Uint8Array.of(byte)))).toEqual(wanted);
  });

  test('ignores an empty piece', () => {
    expect(parsed([Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0), ...muxPieces(1, bytes(2))])).toEqual(
      new Map([[1, [...bytes(2)]]]),
    );
  });

  test('ends at a length beyond the protocol before any byte of it is held', () => {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(1, 0);
    head.writeUInt32BE(nriLimits.pieceBytes + 1, 4);
    expect(() => parsed([head])).toThrow(/a frame of 4194315 bytes/);
    head.writeUInt32BE(nriLimits.pieceBytes, 4);
    expect(parsed([head]).size).toBe(0);
  });

  test('refuses or parses random bytes, and keeps none', () => {
    let state = 12_345;
    const noise = Uint8Array.from({ length: 64 }, () => 0).map(() => {
      state = (state * 1_103_515_245 + 12_345) & 0x7f_ff_ff_ff;
      return state >> 16;
    });
    for (let from = 0; from < noise.length; from += 1) {
      try {
        const total = [...parsed([noise.subarray(from)]).values()].reduce(
          (sum, part) => sum + part.length,
          0,
        );
        expect(total).toBeLessThanOrEqual(noise.length);
      } catch (error) {
        expect(String(error)).toMatch(/a frame of \d+ bytes/);
      }
    }
  });
});

function equal(a: readonly number[] | undefined, b: readonly number[] | undefined): boolean {
  return a?.length === b?.length && a?.every((value, index) => value === b?.[index]) === true;
}

describe('connections in one', () => {
  function pair() {
    const [left, right] = duplexPair();
    return { left, right, ours: new Mux(left), theirs: new Mux(right) };
  }

  test('carry separate bytes, both ways', async () => {
    const { ours, theirs } = pair();
    const [a, b, c, d] = [ours.open(1), ours.open(2), theirs.open(1), theirs.open(2)];
    a.write(bytes(9000));
    d.write('to two');
    expect(await read(c, 9000)).toEqual(Buffer.from(bytes(9000)));
    expect(String(await read(b, 6))).toBe('to two');
  });

  test('end with the trunk', async () => {
    const { ours, left } = pair();
    const one = ours.open(1);
    const ended = new Promise((resolve) => one.on('end', resolve));
    one.resume();
    left.destroy();
    await ended;
  });

  test('end with the reason of a broken piece', async () => {
    const { ours, right } = pair();
    const one = ours.open(1);
    const failed = new Promise<Error>((resolve) => one.on('error', resolve));
    right.write(Buffer.alloc(8, 0xff));
    expect((await failed).message).toMatch(/a frame of 4294967295 bytes/);
  });

  test('drop data for an unopened connection', async () => {
    const { ours, theirs } = pair();
    const two = theirs.open(2);
    ours.open(9).write('lost');
    ours.open(2).write('kept');
    expect(String(await read(two, 4))).toBe('kept');
  });
});

async function read(from: AsyncIterable<Uint8Array>, length: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of from) {
    parts.push(part);
    if (parts.reduce((sum, one) => sum + one.length, 0) >= length) break;
  }
  return Buffer.concat(parts);
}
