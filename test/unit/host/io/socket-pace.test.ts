// Reads of a pipe for the pieces that its writer chooses: so many in a time, whatever the writer's rate.
import { closeSync, writeSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { hostLimits } from '../../../../src/host/bounds.ts';
import { makePipe } from '../../../../src/host/io/descriptors.ts';
import { SocketReader } from '../../../../src/host/io/socket-reader.ts';
import { loopTurn } from '../../../support/turns.ts';

const { smallReadBytes } = hostLimits;
const { smallReadRestMs } = hostLimits;
const { smallReads } = hostLimits;

/**
 * Writes pieces, each in a turn of its own in which it can be read: the reads that they took, and the most that may be.
 */
async function reads(
  piece: Buffer,
  pieces: number,
  prepare: (reader: SocketReader) => void = () => undefined,
) {
  const pipe = makePipe();
  const reader = new SocketReader(pipe.read);
  prepare(reader);
  let [count, bytes] = [0, 0];
  const startedMs = performance.now();
  reader.start((part) => {
    count += 1;
    bytes += part.length;
  });
  for (let at = 0; at < pieces; at += 1) {
    while (at * piece.length - bytes > 32 * 1024) await loopTurn();
    writeSync(pipe.write, piece);
    await loopTurn();
  }
  closeSync(pipe.write);
  await reader.closed;
  const tookMs = performance.now() - startedMs;
  // one more in each span, after which it is known that there were enough, and one after each rest; the last span has
  // begun only
  const most =
    (Math.floor(tookMs / smallReads.everyMs) + 1) * (smallReads.times + 1) +
    Math.floor(tookMs / smallReadRestMs);
  return { isBounded: count <= most, count, bytes };
}

describe('a pipe of small pieces', () => {
  test('S89: single bytes are read together after some reads, and none is lost', async () => {
    expect(await reads(Buffer.from('x'), 4000)).toMatchObject({ isBounded: true, bytes: 4000 });
  });

  test('S89: input that its reader drops is read no faster, whatever its pieces', async () => {
    const piece = Buffer.alloc(smallReadBytes * 2, 'x');
    expect(await reads(piece, 2000, (reader) => reader.unwanted())).toMatchObject({
      isBounded: true,
      bytes: 2000 * piece.length,
    });
  });

  test('S89: a pause by its owner outlasts that of the pace, and the end of input is noticed in both', async () => {
    const pipe = makePipe();
    const reader = new SocketReader(pipe.read);
    let bytes = 0;
    reader.start((part) => (bytes += part.length));
    for (let at = 0; at <= smallReads.times; at += 1) {
      writeSync(pipe.write, 'x');
      while (bytes <= at) await loopTurn();
    }
    reader.pause();
    writeSync(pipe.write, 'y'.repeat(10));
    const until = performance.now() + 3 * smallReads.everyMs;
    while (performance.now() < until) await loopTurn();
    expect(bytes).toBe(smallReads.times + 1);
    reader.resume();
    closeSync(pipe.write);
    await reader.closed;
    expect(bytes).toBe(smallReads.times + 11);
  });
});
