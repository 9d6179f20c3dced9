import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { fail } from '../../../../src/base/fault.ts';
import { unpackLimits } from '../../../../src/oci/bounds.ts';
import type { TarSink } from '../../../../src/oci/layers/tar-reader.ts';
import { LayerStream } from '../../../../src/oci/layers/unpack-stream.ts';
import { archive, digestOf, entry } from './tar-builder.ts';

/** More than the decompressor gives at once, and not all alike. */
const body = Buffer.from(
  Uint32Array.from({ length: 600_000 }, (_, at) => Math.imul(at, 2_654_435_761) >>> (at % 24)).buffer,
);
const tar = archive(
  entry({ name: 'first', body }),
  entry({ name: 'second', body: body.subarray(0, 1_000_001) }),
);
const limits = { entries: 100, layerBytes: 100_000_000 };

/** Keeps what comes. */
class Kept implements TarSink {
  readonly files: { readonly name: string; readonly parts: Buffer[] }[] = [];
  begin({ name }: { readonly name: string }): void {
    this.files.push({ name, parts: [] });
  }
  data(bytes: Uint8Array): void {
    this.files.at(-1)?.parts.push(Buffer.from(bytes));
  }
  finish(): void {
    // the parts are checked when all have come
  }
}

async function feed(stream: LayerStream, blob: Uint8Array, step: number): Promise<void> {
  for (let at = 0; at < blob.length; at += step) await stream.write(blob.subarray(at, at + step));
}

describe('a blob as a stream', () => {
  const blobs = {
    plain: tar,
    gzip: gzipSync(tar),
    zstd: zstdCompressSync(tar),
    'two gzip members': Buffer.concat([
      gzipSync(tar.subarray(0, 1_234_567)),
      gzipSync(tar.subarray(1_234_567)),
    ]),
  };
  for (const [form, blob] of Object.entries(blobs)) {
    for (const step of [10_007, 65_536, blob.length]) {
      test(`${form} in pieces of ${step} bytes comes out whole and in order`, async () => {
        const sink = new Kept();
        const stream = new LayerStream(sink, limits);
        await feed(stream, blob, step);
        expect(await stream.end()).toEqual({ diffId: digestOf(tar), tarBytes: tar.length });
        expect(sink.files.map(({ name }) => name)).toEqual(['first', 'second']);
        expect(Buffer.concat(sink.files[0]?.parts ?? []).equals(body)).toBe(true);
        expect(Buffer.concat(sink.files[1]?.parts ?? []).equals(body.subarray(0, 1_000_001))).toBe(true);
      });
    }
  }

  test('an error of the sink ends it, at the end at the latest, and nothing reaches the sink afterwards', async () => {
    let calls = 0;
    const sink: TarSink = {
      begin: () => undefined,
      data: () => {
        calls += 1;
        fail('exhausted', 'the disk is full');
      },
      finish: () => undefined,
    };
    const stream = new LayerStream(sink, limits);
    await expect(feed(stream, gzipSync(tar), 65_536).then(() => stream.end())).rejects.toMatchObject({
      fault: { kind: 'exhausted', message: 'the disk is full' },
    });
    expect(calls).toBe(1);
  });

  test('S59: a bomb in one write ends at the bound of the layer', async () => {
    let taken = 0;
    const sink: TarSink = {
      begin: () => undefined,
      data: (bytes) => (taken += bytes.length),
      finish: () => undefined,
    };
    const bomb = gzipSync(archive(entry({ name: 'zeros', body: Buffer.alloc(20_000_000) })));
    const stream = new LayerStream(sink, { entries: 100, layerBytes: 10_000_000 });
    await expect(stream.write(bomb).then(() => stream.end())).rejects.toMatchObject({
      fault: { kind: 'exhausted' },
    });
    expect(taken).toBeLessThanOrEqual(10_000_000);
    expect(taken).toBeGreaterThan(10_000_000 - 2 * unpackLimits.inflateChunkBytes);
  });

  test('a truncated blob is refused', async () => {
    for (const blob of [gzipSync(tar), zstdCompressSync(tar)]) {
      const stream = new LayerStream(new Kept(), limits);
      await expect(
        feed(stream, blob.subarray(0, blob.length - 9), 65_536).then(() => stream.end()),
      ).rejects.toMatchObject({ fault: { kind: 'outside' } });
    }
  });
});
