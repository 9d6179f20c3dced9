/**
 * Changes of inputs that a learning run draws from: bytes, numbers, words of the format, and pieces of other inputs.
 */
import type { Random } from '../../sim/random.ts';
import { mutateBytes } from '../mutate.ts';
import type { Operands } from './coverage.ts';

const NUMBERS = [
  0,
  1,
  16,
  127,
  128,
  255,
  256,
  32_767,
  32_768,
  65_535,
  65_536,
  2 ** 24 - 1,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];
const DECIMALS = [
  '0',
  '-1',
  '1',
  '00',
  '65536',
  '2147483648',
  '4294967296',
  '9007199254740993',
  '18446744073709551616',
  '1e9',
  '-0',
  '0x10',
  '077',
];
/** Most bytes that a copied piece has. */
const MOST_COPIED = 2048;
/** Places in an input where an operand of a comparison is searched for. */
const MOST_PLACES = 4;

export interface Havoc {
  readonly random: Random;
  readonly words: readonly Buffer[];
  readonly maxBytes: number;
  /** Another input of the corpus. */
  other(): Buffer;
}

/** One change as often as two to sixteen: what is nearly right gets on by single steps. */
export function havoc(input: Buffer, tools: Havoc): Buffer {
  let bytes = input;
  for (let count = tools.random.chance(0.5) ? 1 : 2 ** (1 + tools.random.int(4)); count > 0; count -= 1)
    bytes = once(bytes, tools).subarray(0, tools.maxBytes);
  return bytes;
}

function once(bytes: Buffer, { random, words, maxBytes, other }: Havoc): Buffer {
  const at = random.int(bytes.length + 1);
  switch (random.int(11)) {
    case 0:
    case 1:
      return mutateBytes(bytes, random, maxBytes);
    case 2:
      return spliced(
        bytes,
        at,
        random.int(2),
        Buffer.from([random.chance(0.5) ? random.int(256) : 0x20 + random.int(95)]),
      );
    case 3:
    case 4: {
      if (words.length === 0) return mutateBytes(bytes, random, maxBytes);
      const word = random.pick(words);
      return spliced(bytes, at, random.chance(0.5) ? word.length : 0, word);
    }
    case 5:
      return arithmetic(bytes, random);
    case 6:
      return decimal(bytes, random);
    case 7: {
      const from = other();
      const begin = random.int(from.length + 1);
      const piece = from.subarray(begin, begin + 1 + random.int(MOST_COPIED));
      return spliced(bytes, at, random.chance(0.5) ? piece.length : 0, piece);
    }
    case 8: {
      const run = 1 + random.int(random.chance(0.5) ? 4 : 64);
      return spliced(bytes, at, run, Buffer.alloc(0));
    }
    case 9: {
      const from = other();
      return Buffer.concat([bytes.subarray(0, at), from.subarray(Math.min(at, from.length))]);
    }
    default: {
      const begin = random.int(bytes.length + 1);
      const piece = bytes.subarray(begin, begin + 1 + random.int(64));
      return spliced(bytes, at, random.chance(0.5) ? piece.length : 0, piece);
    }
  }
}

function spliced(bytes: Buffer, at: number, dropped: number, piece: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + dropped)]);
}

/** A number of one, two or four bytes, a little more or less, or another of those that are next to a bound. */
function arithmetic(bytes: Buffer, random: Random): Buffer {
  const width = random.pick([1, 2, 4]);
  if (bytes.length < width) return bytes;
  const at = random.int(bytes.length - width + 1);
  const copy = Buffer.from(bytes);
  const isLittle = random.chance(0.5);
  const before = isLittle ? copy.readUIntLE(at, width) : copy.readUIntBE(at, width);
  const after = (random.chance(0.5) ? before + random.int(71) - 35 : random.pick(NUMBERS)) + 2 ** (width * 8);
  const value = after % 2 ** (width * 8);
  if (isLittle) copy.writeUIntLE(value, at, width);
  else copy.writeUIntBE(value, at, width);
  return copy;
}

/** Another number in place of one that is written in digits. */
function decimal(bytes: Buffer, random: Random): Buffer {
  const text = bytes.toString('latin1');
  const found = [...text.matchAll(/-?[0-9]+/gu)];
  if (found.length === 0) return arithmetic(bytes, random);
  const { index, 0: digits } = random.pick(found);
  const near = digits.length < 15 ? String(Number(digits) + random.int(3) - 1) : '0';
  return spliced(bytes, index, digits.length, Buffer.from(random.chance(0.5) ? near : random.pick(DECIMALS)));
}

/** What the input would be with one operand of a comparison in place of the other: the test is passed then. */
export function substitutions(input: Buffer, compared: readonly Operands[]): readonly Buffer[] {
  const found = new Map<string, Buffer>();
  for (const [one, other] of compared) {
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      for (const [before, after] of forms(from, to)) {
        for (
          let at = input.indexOf(before), left = MOST_PLACES;
          at !== -1 && left > 0;
          at = input.indexOf(before, at + 1), left -= 1
        ) {
          found.set(
            `${at}/${before.length}/${after.toString('latin1')}`,
            spliced(input, at, before.length, after),
          );
        }
      }
    }
  }
  return [...found.values()];
}

/** How two operands may stand in an input: as text, or as numbers of one to four bytes in both orders, or in digits. */
function forms(from: unknown, to: unknown): readonly (readonly [Buffer, Buffer])[] {
  if (typeof from === 'string' && typeof to === 'string')
    return from.length > 1 && to.length < 256 ? [[Buffer.from(from), Buffer.from(to)]] : [];
  if (
    typeof from !== 'number' ||
    typeof to !== 'number' ||
    !Number.isSafeInteger(from) ||
    !Number.isSafeInteger(to)
  )
    return [];
  const all: (readonly [Buffer, Buffer])[] = [[Buffer.from(String(from)), Buffer.from(String(to))]];
  for (const width of [1, 2, 4]) {
    const limit = 2 ** (width * 8);
    if (from < 0 || to < 0 || from >= limit || to >= limit || from < limit / 256 / 256) continue;
    const [big, bigTo] = [Buffer.alloc(width), Buffer.alloc(width)];
    big.writeUIntBE(from, 0, width);
    bigTo.writeUIntBE(to, 0, width);
    all.push([big, bigTo]);
    if (width > 1) all.push([Buffer.from(big).reverse(), Buffer.from(bigTo).reverse()]);
  }
  return all;
}
