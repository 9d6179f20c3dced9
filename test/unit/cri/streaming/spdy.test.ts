/** Frames and header blocks of SPDY/3.1, whole, in pieces, and damaged. */
import { constants, createDeflate } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { FaultError } from '../../../../src/base/fault.ts';
import { streamLimits } from '../../../../src/cri/bounds.ts';
import { SPDY_DICTIONARY } from '../../../../src/cri/streaming/spdy-dictionary.ts';
import {
  SpdyParser,
  dataHead,
  goAwayFrame,
  pingFrame,
  resetFrame,
  synReplyFrame,
  synStreamFrame,
  windowUpdateFrame,
} from '../../../../src/cri/streaming/spdy-frames.ts';
import type { SpdyFrame } from '../../../../src/cri/streaming/spdy-frames.ts';
import { HeaderCodec, parseHeaders, writeHeaders } from '../../../../src/cri/streaming/spdy-headers.ts';
import { generator, pieces } from './support.ts';

const settings = Buffer.from('80030004000000140000000200000004000000640000000700010000', 'hex');

const row = Buffer.concat([
  synStreamFrame(1, Buffer.from('block'), false),
  dataHead(1, 5, false),
  Buffer.from('hello'),
  pingFrame(1),
  settings,
  windowUpdateFrame(1, 99),
  synReplyFrame(3, Buffer.from('reply')),
  dataHead(1, 0, true),
  resetFrame(1, 5),
  goAwayFrame(1, 0),
]);

/** Data frames come in any pieces: joined, so that the border of a chunk doesn't show. */
function frames(chunks: readonly Buffer[]): object[] {
  const parser = new SpdyParser();
  const found: object[] = [];
  for (const chunk of chunks) {
    for (const frame of parser.push(chunk)) found.push(plain(frame));
  }
  return joined(found);
}

function plain(frame: SpdyFrame): object {
  return Object.fromEntries(
    Object.entries(frame).map(([key, value]) => [
      key,
      value instanceof Uint8Array ? Buffer.from(value).toString() : value,
    ]),
  );
}

function joined(found: readonly object[]): object[] {
  const all: { kind?: string; bytes?: string; fin?: boolean }[] = [];
  for (const frame of found) {
    const last = all.at(-1);
    const now: { kind?: string; bytes?: string; fin?: boolean } = { ...frame };
    if (
      last?.kind === 'data' &&
      now.kind === 'data' &&
      last.fin === false &&
      last.bytes !== '' &&
      now.bytes !== ''
    )
      last.bytes = `${last.bytes}${now.bytes}`;
    else all.push(now);
  }
  return all;
}

const expected = [
  { kind: 'synStream', streamId: 1, fin: false, block: 'block' },
  { kind: 'data', streamId: 1, bytes: 'hello', fin: false },
  { kind: 'ping', id: 1 },
  { kind: 'settings', initialWindow: 65_536 },
  { kind: 'windowUpdate', streamId: 1, delta: 99 },
  { kind: 'headers', streamId: 3, fin: false, block: 'reply' },
  { kind: 'data', streamId: 1, bytes: '', fin: true },
  { kind: 'reset', streamId: 1, status: 5 },
  { kind: 'goAway' },
];

describe('SPDY frames', () => {
  it('are read whole', () => {
    // two settings are claimed and two are there
    expect(frames([row])).toEqual(expected);
  });

  it('are read in pieces of any size', () => {
    for (const size of [1, 2, 3, 7, 8, 13, 64]) expect(frames(pieces(row, size))).toEqual(expected);
  });

  it('pass on data as it comes', () => {
    const parser = new SpdyParser();
    const first = [...parser.push(Buffer.concat([dataHead(1, 1_000_000, true), Buffer.alloc(10)]))];
    expect(first).toEqual([{ kind: 'data', streamId: 1, bytes: new Uint8Array(10), fin: false }]);
    const last = [...parser.push(Buffer.alloc(999_990))];
    expect(last).toMatchObject([{ fin: true }]);
  });

  it.each([
    ['another version', Buffer.from('8002000100000000', 'hex')],
    ['a control frame beyond the bound', Buffer.from('80030001ff000000', 'hex').fill(0x7f, 5)],
    ['data for stream 0', Buffer.from('0000000000000001', 'hex')],
    ['a short SYN_STREAM', Buffer.from('800300010000000400000001', 'hex')],
    ['a RST_STREAM without reason', Buffer.from('800300030000000400000001', 'hex')],
    ['settings that are not all there', Buffer.from('800300040000000400000009', 'hex')],
  ])('refuse %s', (_name, bytes) => {
    expect(() => frames([bytes])).toThrow(FaultError);
  });

  it('of unknown types are ignored', () => {
    expect(frames([Buffer.concat([Buffer.from('800300ff00000002aaaa', 'hex'), pingFrame(7)])])).toEqual([
      { kind: 'ping', id: 7 },
    ]);
  });

  it('damaged in any way are read or refused, without a crash', () => {
    const random = generator(7);
    for (let round = 0; round < 4000; round += 1) {
      const damaged = Buffer.from(row);
      for (let changes = 0; changes <= random(3); changes += 1) damaged[random(damaged.length)] = random(256);
      try {
        frames(pieces(damaged.subarray(0, 1 + random(damaged.length)), 1 + random(40)));
      } catch (error) {
        expect(error).toBeInstanceOf(FaultError);
      }
    }
  });
});

describe('SPDY headers', () => {
  const headers = new Map([
    ['streamtype', 'data'],
    ['port', '80'],
    ['requestid', '0'],
  ]);

  it('are primed with the dictionary of the protocol', () => {
    let [low, high] = [1, 0];
    for (const byte of SPDY_DICTIONARY) {
      low = (low + byte) % 65_521;
      high = (high + low) % 65_521;
    }
    // what every peer puts into its zlib header
    expect(((high << 16) | low) >>> 0).toBe(0xe3c6a7c2);
    expect(SPDY_DICTIONARY.length).toBe(1423);
  });

  it('decode to the original, block after block', async () => {
    const [one, other] = [new HeaderCodec(), new HeaderCodec()];
    for (const value of [headers, new Map(), new Map([['a', '']]), headers]) {
      expect(await other.decode(await one.encode(value))).toEqual(value);
    }
    one.close();
    other.close();
  });

  it('are named in small letters', () => {
    expect(parseHeaders(writeHeaders(new Map([['streamType', 'error']])))).toEqual(
      new Map([['streamtype', 'error']]),
    );
  });

  it('refuse a bomb', async () => {
    const deflate = createDeflate({ dictionary: SPDY_DICTIONARY, flush: constants.Z_SYNC_FLUSH });
    const bomb = await new Promise<Buffer>((resolve) => {
      const chunks: Buffer[] = [];
      deflate.on('data', (chunk: Buffer) => chunks.push(chunk));
      deflate.write(Buffer.alloc(streamLimits.spdyHeaderBytes * 20), () => resolve(Buffer.concat(chunks)));
    });
    expect(bomb.length).toBeLessThan(streamLimits.spdyControlBytes);
    const codec = new HeaderCodec();
    await expect(codec.decode(bomb)).rejects.toThrow(FaultError);
    await expect(codec.decode(bomb)).rejects.toThrow(FaultError);
  });

  it('refuse bytes that are not zlib', async () => {
    const codec = new HeaderCodec();
    await expect(codec.decode(Buffer.from('not at all compressed'))).rejects.toThrow(FaultError);
  });

  it('damaged in any way are read or refused', () => {
    const block = writeHeaders(headers);
    const random = generator(3);
    for (let round = 0; round < 4000; round += 1) {
      const damaged = Buffer.from(block);
      for (let changes = 0; changes <= random(3); changes += 1) damaged[random(damaged.length)] = random(256);
      try {
        parseHeaders(damaged.subarray(0, 1 + random(damaged.length)));
      } catch (error) {
        expect(error).toBeInstanceOf(FaultError);
      }
    }
  });
});
