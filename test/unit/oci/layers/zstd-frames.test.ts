import { zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { unpackLimits } from '../../../../src/oci/bounds.ts';
import { LayerStream } from '../../../../src/oci/layers/unpack-stream.ts';
import { ZstdFrames } from '../../../../src/oci/layers/unpack-zstd.ts';
import { gzipSync } from 'node:zlib';
import { archive, digestOf, entry } from './tar-builder.ts';

const skippable = Buffer.from('502a4d1804000000deadbeef', 'hex');

async function unpack(blob: Buffer, step: number, layerBytes = 2 ** 30) {
  let bytes = 0;
  const sink = {
    begin: () => undefined,
    data: (data: Uint8Array) => void (bytes += data.length),
    finish: () => undefined,
  };
  const stream = new LayerStream(sink, { entries: 1000, layerBytes });
  try {
    for (let at = 0; at < blob.length; at += step) await stream.write(blob.subarray(at, at + step));
    return { ...(await stream.end()), bytes };
  } finally {
    stream.destroy();
  }
}

// no two frames alike, and blocks of all kinds: text, runs, noise
const noise = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * at * 31 + (at >> 3)) & 0xff));
const tar = archive(
  entry({ name: 'a', body: noise }),
  entry({ name: 'b', body: Buffer.alloc(500_000, 7) }),
  entry({ name: 'c', body: 'text '.repeat(9000) }),
);
const cut = [0, 100_000, 100_001, 400_000, tar.length];
const parts = cut.slice(1).map((end, at) => tar.subarray(cut[at] ?? 0, end));

describe('layers decompressed', () => {
  test('S59 frames without content are bounded by their count, since each costs a call of the decoder', () => {
    const frames = new ZstdFrames();
    const empty = Buffer.alloc(8 * 65_536, Buffer.from('502a4d1800000000', 'hex'));
    const most = unpackLimits.zstdFrames / 65_536;
    for (let at = 0; at < most; at += 1) expect([...frames.split(empty)]).toEqual([]);
    expect(() => [...frames.split(empty)]).toThrow('the zstd stream has more than 2097152 frames');
  });

  test.each([1000, 65_536, 10_000_000])(
    'zstd of many frames, some skippable, is read in pieces of %i bytes',
    async (step) => {
      const blob = Buffer.concat([
        skippable,
        ...parts.flatMap((part) => [zstdCompressSync(part), skippable]),
      ]);
      expect(await unpack(blob, step)).toEqual({
        diffId: digestOf(tar),
        tarBytes: tar.length,
        bytes: 300_000 + 500_000 + 45_000,
      });
    },
  );

  test.each([1, 1000, 10_000_000])('gzip of many members is read in pieces of %i bytes', async (step) => {
    const blob = Buffer.concat(parts.map((part) => gzipSync(part)));
    expect((await unpack(step === 1 ? gzipSync(tar) : blob, step)).diffId).toBe(digestOf(tar));
  });

  test.each([1, 100, 10_000_000])(
    'F28: bytes behind gzip that are not gzip are refused, zeros too, in pieces of %i bytes',
    async (step) => {
      const small = gzipSync(archive(entry({ name: 'a', body: 'a' })));
      for (const tail of [Buffer.alloc(10), Buffer.from('xyz'), Buffer.concat([Buffer.alloc(3), small])]) {
        await expect(unpack(Buffer.concat([small, tail]), step)).rejects.toThrow(
          /followed by bytes that are not one|decompress/u,
        );
      }
    },
  );

  test('a plain tar, and an empty one, are read', async () => {
    expect((await unpack(tar, 5000)).diffId).toBe(digestOf(tar));
    expect(await unpack(Buffer.alloc(0), 1)).toEqual({
      diffId: digestOf(Buffer.alloc(0)),
      tarBytes: 0,
      bytes: 0,
    });
  });

  test.each([
    ['gzip', gzipSync(tar)],
    ['zstd', zstdCompressSync(tar)],
  ])('F28: a truncated %s is refused', async (_kind, blob) => {
    await expect(unpack(blob.subarray(0, -3), 65_536)).rejects.toThrow(/cut short|unexpected end/u);
    await expect(unpack(blob.subarray(0, 1000), 100)).rejects.toThrow(/cut short|unexpected end/u);
  });

  test.each([
    ['gzip', gzipSync(tar)],
    ['zstd', zstdCompressSync(tar)],
  ])('S60: a changed bit in the middle of %s is detected', async (_kind, blob) => {
    const bad = Buffer.from(blob);
    const at = bad.length >> 1;
    bad[at] = (bad[at] ?? 0) ^ 0x10;
    const result = await unpack(bad, 65_536).catch((error: unknown) => error);
    if (result instanceof Error) expect(result.message).toMatch(/decompress|read tar/u);
    else expect(result).not.toMatchObject({ diffId: digestOf(tar) });
  });

  test.each([
    ['gzip', gzipSync(Buffer.alloc(64 * 1024 * 1024))],
    ['zstd', zstdCompressSync(Buffer.alloc(64 * 1024 * 1024))],
  ])('S59: a %s bomb ends at the bound', async (_kind, blob) => {
    expect(blob.length).toBeLessThan(100_000);
    await expect(unpack(blob, 65_536, 1024 * 1024)).rejects.toMatchObject({
      fault: { kind: 'exhausted', retryable: false },
    });
  });

  test('S59: a zstd frame that wants a dictionary is refused', async () => {
    const blob = Buffer.from(
      zstdCompressSync(Buffer.alloc(4096), { dictionary: Buffer.from('words of a dictionary '.repeat(100)) }),
    );
    // a dictionary without a header has no id; this one is asked for by its number
    const asked = Buffer.concat([
      blob.subarray(0, 4),
      Buffer.from([(blob[4] ?? 0) | 1]),
      blob.subarray(5, 6),
      Buffer.from([9]),
      blob.subarray(6),
    ]);
    await expect(unpack(asked, 1000)).rejects.toThrow(/decompress|zstd/u);
  });

  test('S59: a zstd window of 2 GiB is refused', async () => {
    // magic, descriptor without single segment, window descriptor 0xa8 (2^31), one raw block
    const frame = Buffer.from('28b52ffd00a8090000ff', 'hex');
    await expect(unpack(frame, 100)).rejects.toThrow(/too much memory/u);
  });

  test('invalid bytes after a frame are refused', () => {
    const frames = new ZstdFrames();
    expect([...frames.split(zstdCompressSync(Buffer.from('x')))]).not.toEqual([]);
    expect(frames.isBetween).toBe(true);
    expect(() => [...frames.split(Buffer.from('rubbish'))]).toThrow(/not a frame/u);
  });
});
