// What `npm run power-loss` makes of a disk's log: a flush covers what came before it, and nothing else is sure.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { randomStream } from '../../sim/random.ts';
import { type Fate, linesOf, makeCrashImage, readLog } from '../../vm/power/disk-log.ts';

const BLOCK = 4096;
const BLOCKS = 20;
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-power-unit-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const kinds = { write: 1, flush: 2, output: 3, other: 4 };

function entry(kind: keyof typeof kinds, offset = 0, bytes: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0x70776372, 0);
  header.writeUInt32LE(kinds[kind], 4);
  header.writeBigUInt64LE(BigInt(offset), 8);
  header.writeBigUInt64LE(BigInt(bytes.length), 16);
  return Buffer.concat([header, bytes]);
}

const block = (index: number, value: number): Buffer =>
  entry('write', index * BLOCK, Buffer.alloc(BLOCK, value));

function logOf(...entries: Buffer[]): string {
  const file = join(directory, 'log');
  writeFileSync(file, Buffer.concat(entries));
  return file;
}

/** The crash image of a cut after all entries. */
function imageOf(log: string, fate: Fate, seed: number): Buffer {
  const disk = join(directory, 'disk');
  writeFileSync(disk, Buffer.alloc(BLOCKS * BLOCK));
  const entries = readLog(log);
  makeCrashImage(disk, log, entries, { end: entries.length, fate, random: randomStream(seed, 'test') });
  return readFileSync(disk);
}

const valuesOf = (image: Buffer, index: number): Set<number> =>
  new Set(image.subarray(index * BLOCK, (index + 1) * BLOCK));

const seeds = Array.from({ length: 20 }, (_, seed) => seed);

it('F94 keeps all that a flush covered, whatever becomes of later writes', () => {
  const log = logOf(block(0, 1), block(1, 2), entry('flush'), block(2, 3), block(3, 4));
  for (const fate of ['none', 'prefix', 'subset', 'last', 'torn', 'all'] as const)
    for (const seed of seeds) {
      const image = imageOf(log, fate, seed);
      expect([...valuesOf(image, 0), ...valuesOf(image, 1)]).toEqual([1, 2]);
    }
});

it('F94 drops, reorders and tears what no flush covered', () => {
  const log = logOf(entry('flush'), block(0, 1), block(1, 2));
  const outcomes = new Set<string>();
  for (const fate of ['prefix', 'subset', 'last', 'torn'] as const)
    for (const seed of seeds) {
      const image = imageOf(log, fate, seed);
      outcomes.add([0, 1].map((index) => [...valuesOf(image, index)].sort((a, b) => a - b).join('')).join());
    }
  // neither, the first alone, the second alone, both; and torn ones
  for (const outcome of ['0,0', '1,0', '0,2', '1,2', '01,0', '0,02']) expect(outcomes).toContain(outcome);
});

it('F94 tears at sectors of 512 bytes, and never a superblock of btrfs', () => {
  const log = logOf(entry('flush'), block(1, 7), block(16, 7));
  for (const seed of seeds) {
    const image = imageOf(log, 'torn', seed);
    for (let at = 0; at < image.length; at += 512) expect(new Set(image.subarray(at, at + 512)).size).toBe(1);
  }
});

it('F94 a disk that ignores flushes may lose what they covered', () => {
  const log = logOf(block(0, 1), entry('flush'));
  const kept = seeds.map((seed) => valuesOf(imageOf(log, 'lying', seed), 0).has(1));
  expect(new Set(kept)).toEqual(new Set([true, false]));
});

it('F94 takes a torn last entry for the end, and refuses an entry of another kind', () => {
  expect(readLog(logOf(block(0, 1), entry('flush').subarray(0, 10)))).toHaveLength(1);
  expect(() => readLog(logOf(block(0, 1), entry('other')))).toThrow(/is not known/u);
});

it('F94 joins the lines of the job, each at the entry that ended it', () => {
  const log = logOf(
    entry('output', 0, Buffer.from('one\r\ntw')),
    entry('flush'),
    entry('output', 0, Buffer.from('o\nrest')),
  );
  expect(linesOf(log, readLog(log))).toEqual([
    { line: 'one', index: 0 },
    { line: 'two', index: 2 },
  ]);
});
