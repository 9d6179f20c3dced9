// Clients that send single bytes over SPDY: what is kept of them is bounded by bytes, and each piece costs O(1).
import { describe, expect, it } from 'vitest';
import type { Fault } from '../../../../src/base/fault.ts';
import { streamLimits } from '../../../../src/cri/bounds.ts';
import { spdyForward } from '../../../../src/cri/streaming/spdy-forward.ts';
import {
  SpdyParser,
  dataHead,
  pingFrame,
  resetFrame,
  synStreamFrame,
  windowUpdateFrame,
} from '../../../../src/cri/streaming/spdy-frames.ts';
import { HeaderCodec } from '../../../../src/cri/streaming/spdy-headers.ts';
import { SpdySession } from '../../../../src/cri/streaming/spdy-session.ts';
import type { SpdyStream } from '../../../../src/cri/streaming/spdy-stream.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { Wire } from './support.ts';
import { loopTurn, untilTrue } from '../../../support/turns.ts';
import { callsOf, callsWhileRead } from './counted-calls.ts';

function begin() {
  const [wire, codec, clock] = [new Wire(), new HeaderCodec(), new HandClock()];
  const streams: SpdyStream[] = [];
  const ends: Fault[] = [];
  const session = new SpdySession(wire, Buffer.alloc(0), clock, {
    onStream: (stream) => streams.push(stream),
    onClose: (why) => ends.push(why),
  });
  const open = async (
    id: number,
    headers: readonly (readonly [string, string])[] = [],
  ): Promise<SpdyStream> => {
    wire.bring(synStreamFrame(id, await codec.encode(new Map(headers)), false));
    await untilTrue(() => streams.some((stream) => stream.id === id));
    return streams.find((stream) => stream.id === id) as SpdyStream;
  };
  return { wire, codec, clock, session, open, ends };
}

describe('S85 single bytes in SPDY', () => {
  it('for a process that does not read are joined, and the client is paused', async () => {
    const { wire, open } = begin();
    const stream = await open(1);
    const frames = Buffer.concat(
      Array.from({ length: 7000 }, () => [dataHead(1, 1, false), Buffer.of(7)]).flat(),
    );
    for (let rounds = 0; !wire.isPaused(); rounds += 1) {
      // twice as many as there is room for
      expect(rounds * 7000).toBeLessThan(2 * streamLimits.inboundBytes);
      wire.bring(frames);
      await loopTurn();
    }
    expect(stream.source.size).toBeLessThanOrEqual(streamLimits.inboundBytes + 7000);
    let reads = 0;
    for (; stream.source.size > 0; reads += 1) await stream.source.read();
    expect(reads).toBeLessThan(100);
    await untilTrue(() => !wire.isPaused());
  });

  it('a frame that comes byte by byte is parsed once for each byte', () => {
    const parser = new SpdyParser();
    const bytes = synStreamFrame(1, Buffer.alloc(10_000), false);
    const copies = callsOf(Uint8Array.prototype, 'set', () => {
      for (const byte of bytes) parser.add(Uint8Array.of(byte));
    });
    expect(copies).toBeLessThan(2.1 * bytes.length);
    expect(parser.next()).toMatchObject({ kind: 'synStream', streamId: 1 });
    expect(parser.size).toBe(0);
  });

  it('what comes behind a header block that is being inflated counts as waiting', async () => {
    const { wire, codec, open } = begin();
    const stream = await open(1);
    wire.bring(synStreamFrame(3, await codec.encode(new Map()), false));
    for (let at = 0; at < 20; at += 1) wire.bring(dataHead(1, 64 * 1024, false), Buffer.alloc(64 * 1024));
    expect([wire.isPaused(), stream.source.size]).toEqual([true, 0]);
    await untilTrue(() => stream.source.size > streamLimits.inboundBytes / 2);
    while (stream.source.size > 0) await stream.source.read();
    await untilTrue(() => !wire.isPaused());
  });

  it('windows that open byte by byte leave no waiter behind, and wake one write each', async () => {
    const { wire, open, ends } = begin();
    const streams: SpdyStream[] = [];
    for (let id = 1; id < 40; id += 2) streams.push(await open(id));
    // the last header block may still be at work: windows are kept to once the answer to the ping says that it is not
    const replies = wire.sent.length;
    wire.bring(windowUpdateFrame(1, 1), pingFrame(1));
    await untilTrue(() => wire.sent.length > replies);
    const writes = streams.map((stream) =>
      stream.write(Buffer.alloc(streamLimits.spdyWindowBytes + 10)).catch(() => undefined),
    );
    // the session's window is used up by the first stream; the own windows of the others are not, so that they stand in
    // the session's line
    await untilTrue(() => wire.written.length > streamLimits.spdyWindowBytes);
    for (let turns = 0; turns < 10; turns += 1) await loopTurn();
    expect(wire.written.length).toBeLessThan(streamLimits.spdyWindowBytes + 2048);
    const updates = Buffer.concat(Array.from({ length: 2000 }, () => windowUpdateFrame(3, 1)));
    expect(await callsWhileRead(Set.prototype, 'add', () => wire.bring(updates))).toBeLessThan(500);
    const ofSession = Buffer.concat(Array.from({ length: 2000 }, () => windowUpdateFrame(0, 1)));
    expect(await callsWhileRead(Set.prototype, 'delete', () => wire.bring(ofSession))).toBeLessThanOrEqual(
      4 * 2000,
    );
    // each of these comes while the other streams stand in line: one wake is three calls, and all of them would be two
    // for each stream
    let calls = 0;
    for (let at = 0; at < 100; at += 1) {
      const frames = wire.sent.length;
      calls += await callsWhileRead(Set.prototype, 'delete', () => wire.bring(windowUpdateFrame(0, 1)));
      expect(wire.sent.length).toBeGreaterThan(frames);
    }
    expect(calls).toBeLessThanOrEqual(4 * 100);
    wire.bring(windowUpdateFrame(0, 100 * streamLimits.spdyWindowBytes));
    for (const stream of streams) wire.bring(windowUpdateFrame(stream.id, streamLimits.spdyWindowBytes));
    await Promise.all(writes);
    const sent = [...new SpdyParser().push(wire.written)].reduce(
      (sum, one) => sum + (one.kind === 'data' ? one.bytes.length : 0),
      0,
    );
    expect([sent, ends]).toEqual([streams.length * (streamLimits.spdyWindowBytes + 10), []]);
  });

  it('an initial window that changes on and on is refused, since each change scans every stream', async () => {
    const { wire, open, ends } = begin();
    await open(1);
    const settings = (window: number): Buffer => {
      const bytes = Buffer.alloc(20);
      bytes.writeUInt32BE(0x80030004, 0);
      bytes.writeUInt32BE(12, 4);
      bytes.writeUInt32BE(1, 8);
      bytes.writeUInt32BE(7, 12);
      bytes.writeUInt32BE(window, 16);
      return bytes;
    };
    for (let at = 0; at < streamLimits.spdyWindowChanges; at += 1) wire.bring(settings(1000 + at));
    expect(ends).toEqual([]);
    wire.bring(settings(1));
    await untilTrue(() => wire.readableLength === 0);
    await loopTurn();
    expect(ends[0]?.message).toBe(
      `read SPDY settings: more than ${streamLimits.spdyWindowChanges} changes of the initial window`,
    );
  });

  it('a reset ends the wait of a stream for a window', async () => {
    const { wire, open } = begin();
    const [one, two] = [await open(1), await open(3)];
    wire.bring(windowUpdateFrame(1, 1_000_000));
    await untilTrue(() => wire.readableLength === 0);
    const [first, second] = [
      one.write(Buffer.alloc(streamLimits.spdyWindowBytes + 1)),
      two.write(Buffer.of(1)),
    ];
    wire.bring(resetFrame(1, 5));
    await expect(first).rejects.toThrow(/ended/u);
    wire.bring(windowUpdateFrame(0, 1));
    await second;
  });

  it('headers that mean nothing here are not kept', async () => {
    const { open } = begin();
    const stream = await open(1, [
      ['streamtype', 'data'],
      ['noise', 'x'.repeat(60_000)],
      ['requestid', 'y'.repeat(streamLimits.spdyHeaderChars + 1)],
    ]);
    expect([...stream.headers]).toEqual([['streamtype', 'data']]);
  });

  it('S89 the names in a header block are bounded, however many it inflates to', async () => {
    const codec = new HeaderCodec();
    const named = (count: number): Promise<Buffer> =>
      codec.encode(new Map(Array.from({ length: count }, (_none, at) => [`n${at}`, ''])));
    const reader = new HeaderCodec();
    expect((await reader.decode(await named(streamLimits.spdyHeaderNames))).size).toBe(
      streamLimits.spdyHeaderNames,
    );
    await expect(reader.decode(await named(5000))).rejects.toThrow(/5000 names, more than 64/u);
  });

  it('halves of connections whose streams are reset are forgotten at once', async () => {
    const [wire, codec, clock] = [new Wire(), new HeaderCodec(), new HandClock()];
    spdyForward({
      transport: wire,
      head: Buffer.alloc(0),
      clock,
      dial: () => Promise.reject(new Error('no')),
      ports: [],
      claim: () => () => undefined,
      onGone: () => undefined,
    });
    for (let at = 0; at <= 100; at += 1) {
      const headers = new Map([
        ['streamtype', 'data'],
        ['port', '80'],
        ['requestid', String(at)],
      ]);
      // what is answered to the last one comes after all before it; its time is the only one that still runs
      wire.bring(
        synStreamFrame(2 * at + 1, await codec.encode(headers), false),
        ...(at === 100 ? [] : [resetFrame(2 * at + 1, 5)]),
      );
    }
    const replies = (): number =>
      [...new SpdyParser().push(wire.written)].filter(({ kind }) => kind === 'headers').length;
    await untilTrue(() => replies() === 101);
    expect(clock.timers.size).toBe(1);
  });
});
