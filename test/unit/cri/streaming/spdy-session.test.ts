/** A SPDY session over a connection in memory. */
import { describe, expect, it } from 'vitest';
import type { Fault } from '../../../../src/base/fault.ts';
import { streamLimits } from '../../../../src/cri/bounds.ts';
import {
  SpdyParser,
  dataHead,
  pingFrame,
  resetFrame,
  synStreamFrame,
  windowUpdateFrame,
} from '../../../../src/cri/streaming/spdy-frames.ts';
import type { SpdyFrame } from '../../../../src/cri/streaming/spdy-frames.ts';
import { HeaderCodec } from '../../../../src/cri/streaming/spdy-headers.ts';
import { SpdySession } from '../../../../src/cri/streaming/spdy-session.ts';
import type { SpdyStream } from '../../../../src/cri/streaming/spdy-stream.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { Wire } from './support.ts';
import { untilTrue } from '../../../support/turns.ts';

function begin() {
  const wire = new Wire();
  const streams: SpdyStream[] = [];
  const ends: Fault[] = [];
  const session = new SpdySession(wire, Buffer.alloc(0), new HandClock(), {
    onStream: (stream) => streams.push(stream),
    onClose: (why) => ends.push(why),
  });
  const codec = new HeaderCodec();
  const open = async (id: number, fin = false): Promise<SpdyStream> => {
    wire.bring(synStreamFrame(id, await codec.encode(new Map([['streamtype', `s${id}`]])), fin));
    await untilTrue(() => streams.some((stream) => stream.id === id));
    return streams.find((stream) => stream.id === id) as SpdyStream;
  };
  const sent = (): SpdyFrame[] => [...new SpdyParser().push(wire.written)];
  const data = (id: number): number =>
    sent().reduce(
      (sum, frame) => sum + (frame.kind === 'data' && frame.streamId === id ? frame.bytes.length : 0),
      0,
    );
  return { wire, session, codec, open, sent, data, ends };
}

const text = async (stream: SpdyStream): Promise<string> => {
  let all = '';
  for (;;) {
    const bytes = await stream.source.read();
    if (bytes === undefined) return all;
    all += Buffer.from(bytes).toString();
  }
};

describe('a SPDY session', () => {
  it('answers a stream, reads it to its end, and ends its own direction separately', async () => {
    const { wire, open, sent } = begin();
    const stream = await open(1);
    expect(stream.headers.get('streamtype')).toBe('s1');
    wire.bring(dataHead(1, 3, false), Buffer.from('abc'), dataHead(1, 2, true), Buffer.from('de'));
    expect(await text(stream)).toBe('abcde');
    await stream.write(Buffer.from('answer'));
    stream.end();
    stream.end();
    expect(sent().map(({ kind }) => kind)).toEqual(['headers', 'data', 'data']);
    expect(sent().at(-1)).toMatchObject({ fin: true });
  });

  it('keeps the order of frames behind a header block', async () => {
    const { wire, codec, open, ends } = begin();
    await open(1);
    const second = await codec.encode(new Map([['streamtype', 'late']]));
    wire.bring(synStreamFrame(3, second, false), dataHead(3, 2, true), Buffer.from('hi'), pingFrame(9));
    const stream = await open(5);
    expect(stream.id).toBe(5);
    expect(ends).toEqual([]);
  });

  it('answers only pings of the client', async () => {
    const { wire, sent } = begin();
    wire.bring(pingFrame(3), pingFrame(4));
    await untilTrue(() => sent().length > 0);
    expect(sent()).toEqual([{ kind: 'ping', id: 3 }]);
  });

  it('writes beyond the window to a client that ignores windows, as Go does', async () => {
    const { open, data } = begin();
    const stream = await open(1);
    await stream.write(Buffer.alloc(3 * streamLimits.spdyWindowBytes));
    expect(data(1)).toBe(3 * streamLimits.spdyWindowBytes);
  });

  it('respects the windows of a client that uses them', async () => {
    const { wire, open, data } = begin();
    const stream = await open(1);
    wire.bring(windowUpdateFrame(0, 1_000_000), windowUpdateFrame(1, 10));
    await untilTrue(() => wire.readableLength === 0);
    let isDone = false;
    const writing = stream.write(Buffer.alloc(2 * streamLimits.spdyWindowBytes)).then(() => (isDone = true));
    await untilTrue(() => data(1) === streamLimits.spdyWindowBytes + 10);
    expect(isDone).toBe(false);
    wire.bring(windowUpdateFrame(1, 2 * streamLimits.spdyWindowBytes));
    await writing;
    expect(data(1)).toBe(2 * streamLimits.spdyWindowBytes);
  });

  it('reports used bytes to the client', async () => {
    const { wire, open, sent } = begin();
    const stream = await open(1);
    wire.bring(dataHead(1, 40_000, false), Buffer.alloc(40_000));
    expect((await stream.source.read())?.length).toBeGreaterThan(0);
    while (stream.source.size > 0) await stream.source.read();
    await untilTrue(() => sent().filter(({ kind }) => kind === 'windowUpdate').length > 1);
    const updates = sent().filter((frame) => frame.kind === 'windowUpdate');
    expect(updates.map((frame) => frame.kind === 'windowUpdate' && frame.streamId)).toEqual([1, 0]);
  });

  it('pauses reading while too much waits, and resumes', async () => {
    const { wire, open } = begin();
    const stream = await open(1);
    const chunk = Buffer.alloc(256 * 1024);
    for (let sent = 0; sent <= streamLimits.inboundBytes; sent += chunk.length)
      wire.bring(dataHead(1, chunk.length, false), chunk);
    await untilTrue(() => wire.isPaused());
    expect(stream.source.size).toBeLessThanOrEqual(streamLimits.inboundBytes + 2 * chunk.length);
    while (stream.source.size > 0) await stream.source.read();
    await untilTrue(() => !wire.isPaused());
  });

  it('waits for a slow client', async () => {
    const { wire, open } = begin();
    const stream = await open(1);
    wire.isHolding = true;
    let isDone = false;
    const writing = stream.write(Buffer.alloc(5000)).then(() => (isDone = true));
    await untilTrue(() => wire.writableNeedDrain);
    expect(isDone).toBe(false);
    wire.release();
    await writing;
  });

  it('ends a stream that the client resets, and refuses to write to it', async () => {
    const { wire, open } = begin();
    const stream = await open(1);
    let isBroken = false;
    stream.onReset(() => (isBroken = true));
    wire.bring(resetFrame(1, 5));
    await expect(stream.source.read()).rejects.toThrow(/reset/u);
    expect(isBroken).toBe(true);
    await expect(stream.write(Buffer.alloc(1))).rejects.toThrow(/ended/u);
  });

  it('ends all streams with the connection', async () => {
    const { wire, open, ends } = begin();
    const [one, two] = [await open(1), await open(3)];
    wire.push(null);
    await untilTrue(() => ends.length > 0);
    await expect(one.source.read()).rejects.toThrow(/gone/u);
    await expect(two.write(Buffer.alloc(1))).rejects.toThrow(/ended/u);
    expect(ends).toMatchObject([{ kind: 'cancelled' }]);
  });

  it.each([
    ['a stream that was not opened', dataHead(7, 0, true)],
    ['a stream number of the server', synStreamFrame(2, Buffer.alloc(0), false)],
    ['what is no SPDY', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ])('says goodbye on %s', async (_name, bytes) => {
    const { wire, sent, ends, open } = begin();
    await open(1);
    wire.bring(bytes, Buffer.alloc(100_000, 0x47));
    await untilTrue(() => ends.length > 0);
    expect(ends).toMatchObject([{ kind: 'invalidRequest' }]);
    expect(sent().at(-1)).toEqual({ kind: 'goAway' });
  });
});
