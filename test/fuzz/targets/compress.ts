/**
 * The frames around an archive: gzip members and zstd frames, whole, doubled, cut, with parts that few programs write.
 */
import { constants, deflateRawSync, gzipSync, zstdCompressSync } from 'node:zlib';
import type { Random } from '../../sim/random.ts';
import { mutateBytes } from '../mutate.ts';

/** A frame that decoders leave out (RFC 8878, 3.1.2). */
function skippable(random: Random): Buffer {
  const body = Buffer.alloc(random.pick([0, 1, 100, 70_000]), 7);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184d2a50 + random.int(16), 0);
  head.writeUInt32LE(random.chance(0.9) ? body.length : random.int(2 ** 32), 4);
  return Buffer.concat([head, body]);
}

/** A gzip member with optional fields (RFC 1952, 2.3). */
function gzipWithFields(tar: Buffer, random: Random): Buffer {
  const whole = gzipSync(tar, { level: 1 });
  const flags = random.int(32);
  const extra = random.pick([0, 4, 40_000]);
  const fields = [
    (flags & 4) === 0
      ? Buffer.alloc(0)
      : Buffer.concat([Buffer.from([extra & 0xff, extra >> 8]), Buffer.alloc(extra)]),
    (flags & 8) === 0 ? Buffer.alloc(0) : Buffer.from('../../name\0'),
    (flags & 16) === 0 ? Buffer.alloc(0) : Buffer.from('comment\0'),
    (flags & 2) === 0 ? Buffer.alloc(0) : Buffer.from([random.int(256), random.int(256)]),
  ];
  const head = Buffer.from(whole.subarray(0, 10));
  head[3] = flags;
  return Buffer.concat([head, ...fields, whole.subarray(10)]);
}

/** A zstd frame whose header says what it likes about window and size. */
function zstdWithHeader(random: Random): Buffer {
  const head = Buffer.from([
    0x28,
    0xb5,
    0x2f,
    0xfd,
    random.int(256),
    ...Array.from({ length: random.int(14) }, () => random.int(256)),
  ]);
  const blocks = Array.from({ length: random.int(4) }, () => {
    const type = random.int(4);
    const size = random.pick([0, 1, 128 * 1024, 2 ** 21 - 1]);
    const header = (size << 3) | (type << 1) | random.int(2);
    return Buffer.concat([
      Buffer.from([header & 0xff, (header >> 8) & 0xff, (header >> 16) & 0xff]),
      Buffer.alloc(type === 1 ? 1 : Math.min(size, 4096), 0x61),
    ]);
  });
  return Buffer.concat([head, ...blocks]);
}

const fast = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

function inTwo(tar: Buffer, random: Random, compress: (part: Buffer) => Buffer, between: Buffer): Buffer {
  const at = random.int(tar.length + 1);
  return Buffer.concat([compress(tar.subarray(0, at)), between, compress(tar.subarray(at))]);
}

/** As a registry would serve it, or would like to. */
export function compressed(tar: Buffer, random: Random): Buffer {
  const blob = framed(tar, random);
  return random.chance(0.12) ? mutateBytes(blob, random) : blob;
}

function framed(tar: Buffer, random: Random): Buffer {
  switch (random.int(14)) {
    case 0:
      return gzipSync(tar, { level: random.pick([0, 1, 9]) });
    case 1:
      return inTwo(tar, random, (part) => gzipSync(part), Buffer.alloc(random.pick([0, 0, 1, 512])));
    case 2:
      return gzipWithFields(tar, random);
    case 3:
      return zstdCompressSync(tar, fast);
    case 4:
      return inTwo(
        tar,
        random,
        (part) => zstdCompressSync(part, fast),
        random.chance(0.5) ? skippable(random) : Buffer.alloc(0),
      );
    case 5:
      return Buffer.concat([skippable(random), zstdCompressSync(tar, fast), skippable(random)]);
    case 6:
      return random.chance(0.3)
        ? zstdWithHeader(random)
        : Buffer.concat([zstdCompressSync(tar, fast), zstdWithHeader(random)]);
    case 7:
      return Buffer.concat([
        Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]),
        deflateRawSync(tar),
        Buffer.from(Array.from({ length: 8 }, () => random.int(256))),
      ]);
    default:
      return tar;
  }
}
