/** Changes of bytes that know nothing of what the bytes mean. */
import type { Random } from '../sim/random.ts';

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x20, 0x2f, 0x30, 0x3d];

/** One to four changes; an input never grows above `maxBytes`. */
export function mutateBytes(input: Buffer, random: Random, maxBytes = 1024 * 1024): Buffer {
  let bytes = input;
  for (let count = 1 + random.int(4); count > 0; count -= 1)
    bytes = mutateOnce(bytes, random).subarray(0, maxBytes);
  return bytes;
}

function mutateOnce(bytes: Buffer, random: Random): Buffer {
  if (bytes.length === 0) return Buffer.from([random.int(256)]);
  const at = random.int(bytes.length);
  const run = 1 + random.int(random.chance(0.8) ? 8 : Math.max(1, bytes.length - at));
  switch (random.int(6)) {
    case 0:
      return patched(bytes, at, (bytes[at] ?? 0) ^ (1 << random.int(8)));
    case 1:
      return patched(bytes, at, random.pick(INTERESTING));
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + run)]);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + run), bytes.subarray(at)]);
    case 4:
      return bytes.subarray(0, at);
    default:
      return Buffer.concat([
        bytes.subarray(0, at),
        Buffer.from(Array.from({ length: run % 64 }, () => random.int(256))),
        bytes.subarray(at),
      ]);
  }
}

function patched(bytes: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = value;
  return copy;
}
