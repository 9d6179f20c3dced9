// The log of record-writes.c: what reached the disk, in its order, with the job's output in between. From it follows
// what the disk may hold when the power fails at a point: all that a flush had covered, and of the rest anything.
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import type { Random } from '../../sim/random.ts';

const MAGIC = 0x70776372;
const HEADER_BYTES = 24;
/** What a disk writes whole or not at all. */
const SECTOR_BYTES = 512;

export interface Entry {
  readonly kind: 'write' | 'flush' | 'output';
  /** On the disk, bytes. */
  readonly offset: number;
  readonly length: number;
  /** Where its bytes begin in the log. */
  readonly at: number;
}

const kinds: readonly (Entry['kind'] | undefined)[] = [undefined, 'write', 'flush', 'output'];

/** All whole entries. Throws at one that can't be understood; a torn one can only be the last. */
export function readLog(file: string): Entry[] {
  const fd = openSync(file, 'r');
  try {
    const entries: Entry[] = [];
    const header = Buffer.alloc(HEADER_BYTES);
    for (let at = 0; readSync(fd, header, 0, HEADER_BYTES, at) === HEADER_BYTES;) {
      const kind = kinds[header.readUInt32LE(4)];
      if (header.readUInt32LE(0) !== MAGIC || kind === undefined)
        throw new Error(`read the disk's log: the entry at ${at} of ${file} is not known`);
      const length = Number(header.readBigUInt64LE(16));
      entries.push({ kind, offset: Number(header.readBigUInt64LE(8)), length, at: at + HEADER_BYTES });
      at += HEADER_BYTES + length;
    }
    return entries;
  } finally {
    closeSync(fd);
  }
}

/** Each line of the job's output, with the index of the entry that ended it. */
export function linesOf(file: string, entries: readonly Entry[]): { line: string; index: number }[] {
  const fd = openSync(file, 'r');
  try {
    const lines: { line: string; index: number }[] = [];
    let rest = Buffer.alloc(0);
    for (const [index, entry] of entries.entries()) {
      if (entry.kind !== 'output') continue;
      const bytes = Buffer.alloc(entry.length);
      readSync(fd, bytes, 0, entry.length, entry.at);
      rest = Buffer.concat([rest, bytes]);
      for (let end = rest.indexOf(10); end !== -1; end = rest.indexOf(10)) {
        lines.push({ line: rest.subarray(0, end).toString('utf8').replaceAll('\r', ''), index });
        rest = rest.subarray(end + 1);
      }
    }
    return lines;
  } finally {
    closeSync(fd);
  }
}

/** What becomes of the writes after the last flush. `lying`: as `subset`, of a disk that ignores flushes. */
export type Fate = 'none' | 'prefix' | 'subset' | 'last' | 'torn' | 'all' | 'lying';
export const fates: readonly Fate[] = ['none', 'prefix', 'subset', 'last', 'torn', 'subset', 'torn', 'all'];

/** A piece of a write that reached the disk. */
interface Piece {
  readonly offset: number;
  readonly at: number;
  readonly length: number;
}

const whole = ({ offset, at, length }: Entry): Piece => ({ offset, at, length });

/**
 * btrfs has no second copy of a superblock that it would mount from by itself: it asks for disks that write 4 KiB
 * whole.
 */
const BTRFS_SUPERBLOCKS: readonly number[] = [64 * 1024, 64 * 1024 * 1024];

/** A random part of its sectors, as a run from its begin, a run to its end, or any. */
function torn(entry: Entry, random: Random): Piece[] {
  const sectors = Math.ceil(entry.length / SECTOR_BYTES);
  if (sectors < 2 || BTRFS_SUPERBLOCKS.includes(entry.offset))
    return random.chance(0.5) ? [whole(entry)] : [];
  const cut = 1 + random.int(sectors - 1);
  const shape = random.int(3);
  const pieces: Piece[] = [];
  for (let sector = 0; sector < sectors; sector += 1) {
    const isKept = shape === 0 ? sector < cut : shape === 1 ? sector >= cut : random.chance(0.5);
    if (!isKept) continue;
    const skipped = sector * SECTOR_BYTES;
    pieces.push({
      offset: entry.offset + skipped,
      at: entry.at + skipped,
      length: Math.min(SECTOR_BYTES, entry.length - skipped),
    });
  }
  return pieces;
}

/** What remains of the writes that no flush had covered, in the order of the log: a later one replaces an earlier. */
function survivors(writes: readonly Entry[], fate: Fate, random: Random): Piece[] {
  const chance = random.pick([0.2, 0.5, 0.8]);
  const cut = random.int(writes.length + 1);
  return writes.flatMap((entry, index) => {
    switch (fate) {
      case 'none':
        return [];
      case 'all':
        return [whole(entry)];
      case 'prefix':
        return index < cut ? [whole(entry)] : index === cut ? torn(entry, random) : [];
      // reordered: the later writes overtook the earlier ones
      case 'last':
        return index >= cut ? [whole(entry)] : [];
      case 'subset':
      case 'lying':
        return random.chance(chance) ? [whole(entry)] : [];
      case 'torn':
        return random.chance(0.3) ? torn(entry, random) : random.chance(chance) ? [whole(entry)] : [];
    }
  });
}

export interface Cut {
  /** Entries of the log before the cut. */
  readonly end: number;
  readonly fate: Fate;
  readonly random: Random;
}

/** How many writes a lying disk may hold back, whatever flushes came: its cache of some MiB. */
const LYING_WRITES = 400;

/**
 * Makes the disk as it may be after a cut.
 * @param disk the disk as it was when the log began; changed in place
 * @returns how many writes were in flight
 */
export function makeCrashImage(
  disk: string,
  logFile: string,
  entries: readonly Entry[],
  { end, fate, random }: Cut,
): number {
  const before = entries.slice(0, end);
  const lastFlush = before.findLastIndex(({ kind }) => kind === 'flush');
  const writes = before.filter(({ kind }) => kind === 'write');
  const covered =
    fate === 'lying'
      ? Math.max(0, writes.length - LYING_WRITES)
      : before.slice(0, lastFlush + 1).filter(({ kind }) => kind === 'write').length;
  const log = openSync(logFile, 'r');
  const target = openSync(disk, 'r+');
  try {
    for (const piece of [
      ...writes.slice(0, covered).map(whole),
      ...survivors(writes.slice(covered), fate, random),
    ]) {
      const bytes = Buffer.alloc(piece.length);
      readSync(log, bytes, 0, piece.length, piece.at);
      writeSync(target, bytes, 0, piece.length, piece.offset);
    }
  } finally {
    closeSync(target);
    closeSync(log);
  }
  return writes.length - covered;
}
