// Clients that send single bytes, or read nothing: what is kept of them is bounded by bytes, and each piece costs O(1).
import { describe, expect, it } from 'vitest';
import type { Fault } from '../../../src/base/fault.ts';
import { streamLimits } from '../../../src/base/limits.ts';
import { Resizes } from '../../../src/cri/streaming/command-channels.ts';
import { spdyCommand } from '../../../src/cri/streaming/spdy-command.ts';
import { spdyForward } from '../../../src/cri/streaming/spdy-forward.ts';
import { SpdyParser, dataHead, pingFrame, resetFrame, synStreamFrame, windowUpdateFrame } from '../../../src/cri/streaming/spdy-frames.ts';
import { HeaderCodec } from '../../../src/cri/streaming/spdy-headers.ts';
import { SpdySession } from '../../../src/cri/streaming/spdy-session.ts';
import type { SpdyStream } from '../../../src/cri/streaming/spdy-session.ts';
import { Outbox, movedBytes } from '../../../src/cri/streaming/transport.ts';
import { WsConnection, tunnel } from '../../../src/cri/streaming/ws-connection.ts';
import { OPCODE, WsParser } from '../../../src/cri/streaming/ws-frames.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { Wire, untilTrue } from './support.ts';

/** A client's frame, masked with zeros. */
function frame(opcode: number, fin: boolean, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of((fin ? 0x80 : 0) | opcode, 0x80 | payload.length, 0, 0, 0, 0), payload]);
}

/** Calls of `method`, and of waiters added, while `run` runs. */
function callsOf<T extends object>(prototype: T, method: keyof T & string, run: () => void): number {
  const original: unknown = Reflect.get(prototype, method);
  if (typeof original !== 'function') throw new Error(`no method ${method}`);
  let calls = 0;
  Reflect.set(prototype, method, function count(this: unknown, ...values: unknown[]): unknown {
    calls += 1;
    return Reflect.apply(original, this, values);
  });
  try {
    run();
  } finally {
    Reflect.set(prototype, method, original);
  }
  return calls;
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Calls of `method` until what was brought has been read, some turns later. */
async function callsWhileRead<T extends object>(prototype: T, method: keyof T & string, bring: () => void): Promise<number> {
  const original: unknown = Reflect.get(prototype, method);
  if (typeof original !== 'function') throw new Error(`no method ${method}`);
  let calls = 0;
  Reflect.set(prototype, method, function count(this: unknown, ...values: unknown[]): unknown {
    calls += 1;
    return Reflect.apply(original, this, values);
  });
  try {
    bring();
    for (let turns = 0; turns < 10; turns += 1) await turn();
  } finally {
    Reflect.set(prototype, method, original);
  }
  return calls;
}

function begin() {
  const [wire, codec, clock] = [new Wire(), new HeaderCodec(), new HandClock()];
  const streams: SpdyStream[] = [];
  const ends: Fault[] = [];
  const session = new SpdySession(wire, Buffer.alloc(0), clock, { onStream: (stream) => streams.push(stream), onClose: (why) => ends.push(why) });
  const open = async (id: number, headers: readonly (readonly [string, string])[] = []): Promise<SpdyStream> => {
    wire.bring(synStreamFrame(id, await codec.encode(new Map(headers)), false));
    await untilTrue(() => streams.some((stream) => stream.id === id));
    return streams.find((stream) => stream.id === id) as SpdyStream;
  };
  return { wire, codec, clock, session, open, ends };
}

describe('S85 a client that reads nothing', () => {
  it('has one write under way; what else is for it is joined, in order', async () => {
    const wire = new Wire();
    const outbox = new Outbox(wire);
    wire.isHolding = true;
    const writes = Array.from({ length: 50_000 }, (_none, at) => outbox.write(Buffer.of(at % 251)));
    expect([wire.sent.length, wire.writableLength]).toEqual([1, 1]);
    wire.release();
    await Promise.all(writes);
    expect(wire.sent.length).toBeLessThan(20);
    expect(Buffer.compare(wire.written, Buffer.from(Array.from({ length: 50_000 }, (_none, at) => at % 251)))).toBe(0);
  });

  it('counts as idle, however much it sends; one that reads does not', () => {
    const wire = Object.assign(new Wire(), { bytesRead: 7, bytesWritten: 5 });
    expect(movedBytes(wire)).toBe(12);
    wire.isHolding = true;
    wire.write('output');
    wire.bytesRead += 1000;
    expect(movedBytes(wire)).toBe(5);
  });

  it.each([['a good end', { kind: 'exited', exitCode: 0 }, streamLimits.idleMs], ['a bad end', { kind: 'failed', fault: { kind: 'cancelled', message: 'gone' } }, streamLimits.drainMs]] as const)(
    'does not hold its session for ever after %s',
    async (_what, end, ms) => {
      const [wire, codec, clock] = [new Wire(), new HeaderCodec(), new HandClock()];
      const wanted = { stdin: false, stdout: true, stderr: false, tty: false };
      const opening = spdyCommand({ transport: wire, head: Buffer.alloc(0), wanted, version: 4, clock, onGone: () => undefined });
      wire.bring(synStreamFrame(1, await codec.encode(new Map([['streamtype', 'error']])), false));
      wire.bring(synStreamFrame(3, await codec.encode(new Map([['streamtype', 'stdout']])), false));
      const channels = await opening;
      wire.isHolding = true;
      void channels.streams.stdout?.write(Buffer.alloc(1000)).catch(() => undefined);
      let isOver = false;
      void channels.finish(end as Parameters<typeof channels.finish>[0]).then(() => (isOver = true));
      // a wait without a bound of its own would never come to the next step
      for (let turns = 0; turns < 20; turns += 1) await turn();
      clock.fire(ms);
      for (let turns = 0; turns < 20; turns += 1) await turn();
      // the second one is that of the connection's own end
      expect(wire.writableEnded).toBe(true);
      clock.fire(ms);
      for (let turns = 0; turns < 20; turns += 1) await turn();
      expect(isOver).toBe(true);
      expect(wire.destroyed).toBe(true);
    },
  );
});

describe('S85 single bytes in SPDY', () => {
  it('for a process that does not read are joined, and the client is paused', async () => {
    const { wire, open } = begin();
    const stream = await open(1);
    const frames = Buffer.concat(Array.from({ length: 7000 }, () => [dataHead(1, 1, false), Buffer.of(7)]).flat());
    for (let rounds = 0; !wire.isPaused(); rounds += 1) {
      // twice as many as there is room for
      expect(rounds * 7000).toBeLessThan(2 * streamLimits.inboundBytes);
      wire.bring(frames);
      await turn();
    }
    expect(stream.source.size).toBeLessThanOrEqual(streamLimits.inboundBytes + 7000);
    let reads = 0;
    for (; stream.source.size > 0; reads += 1) await stream.source.read();
    expect(reads).toBeLessThan(100);
    await untilTrue(() => !wire.isPaused());
  });

  it('a frame that comes byte by byte is looked at once for each byte', () => {
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
    const writes = streams.map((stream) => stream.write(Buffer.alloc(streamLimits.spdyWindowBytes + 10)).catch(() => undefined));
    // the session's window is used up by the first stream; the own windows of the others are not, so that they stand in the session's line
    await untilTrue(() => wire.written.length > streamLimits.spdyWindowBytes);
    for (let turns = 0; turns < 10; turns += 1) await turn();
    expect(wire.written.length).toBeLessThan(streamLimits.spdyWindowBytes + 2048);
    const updates = Buffer.concat(Array.from({ length: 2000 }, () => windowUpdateFrame(3, 1)));
    expect(await callsWhileRead(Set.prototype, 'add', () => wire.bring(updates))).toBeLessThan(500);
    const ofSession = Buffer.concat(Array.from({ length: 2000 }, () => windowUpdateFrame(0, 1)));
    expect(await callsWhileRead(Set.prototype, 'delete', () => wire.bring(ofSession))).toBeLessThanOrEqual(4 * 2000);
    // each of these comes while the other streams stand in line: one wake is three calls, and all of them would be two for each stream
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
    const sent = [...new SpdyParser().push(wire.written)].reduce((sum, one) => sum + (one.kind === 'data' ? one.bytes.length : 0), 0);
    expect([sent, ends]).toEqual([streams.length * (streamLimits.spdyWindowBytes + 10), []]);
  });

  it('an initial window that changes on and on is refused: each change looks at every stream', async () => {
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
    await turn();
    expect(ends[0]?.message).toBe('read SPDY settings: the initial window changed too often');
  });

  it('of a stream that waits for a window, a reset ends the wait', async () => {
    const { wire, open } = begin();
    const [one, two] = [await open(1), await open(3)];
    wire.bring(windowUpdateFrame(1, 1_000_000));
    await untilTrue(() => wire.readableLength === 0);
    const [first, second] = [one.write(Buffer.alloc(streamLimits.spdyWindowBytes + 1)), two.write(Buffer.of(1))];
    wire.bring(resetFrame(1, 5));
    await expect(first).rejects.toThrow(/ended/u);
    wire.bring(windowUpdateFrame(0, 1));
    await second;
  });

  it('headers that mean nothing here are not kept', async () => {
    const { open } = begin();
    const stream = await open(1, [['streamtype', 'data'], ['noise', 'x'.repeat(60_000)], ['requestid', 'y'.repeat(streamLimits.spdyHeaderChars + 1)]]);
    expect([...stream.headers]).toEqual([['streamtype', 'data']]);
  });

  it('S89 a header block has as many names as a client needs, and not as many as inflate', async () => {
    const codec = new HeaderCodec();
    const named = (count: number): Promise<Buffer> => codec.encode(new Map(Array.from({ length: count }, (_none, at) => [`n${at}`, ''])));
    const reader = new HeaderCodec();
    expect((await reader.decode(await named(streamLimits.spdyHeaderNames))).size).toBe(streamLimits.spdyHeaderNames);
    await expect(reader.decode(await named(5000))).rejects.toThrow(/5000 names, more than 64/u);
  });

  it('halves of connections whose streams are reset are forgotten at once', async () => {
    const [wire, codec, clock] = [new Wire(), new HeaderCodec(), new HandClock()];
    spdyForward({ transport: wire, head: Buffer.alloc(0), clock, dial: () => Promise.reject(new Error('no')), ports: [], claim: () => () => undefined, onGone: () => undefined });
    for (let at = 0; at <= 100; at += 1) {
      const headers = new Map([['streamtype', 'data'], ['port', '80'], ['requestid', String(at)]]);
      // what is answered to the last one comes after all before it; its time is the only one that still runs
      wire.bring(synStreamFrame(2 * at + 1, await codec.encode(headers), false), ...(at === 100 ? [] : [resetFrame(2 * at + 1, 5)]));
    }
    const replies = (): number => [...new SpdyParser().push(wire.written)].filter(({ kind }) => kind === 'headers').length;
    await untilTrue(() => replies() === 101);
    expect(clock.timers.size).toBe(1);
  });
});

describe('S85 single bytes in WebSocket', () => {
  it('fragments of a byte are joined, each copied once', () => {
    const parser = new WsParser();
    const begun = [...parser.push(frame(OPCODE.text, false, Buffer.of(0x61)))];
    const rest = Buffer.concat(Array.from({ length: 5000 }, () => frame(OPCODE.continuation, false, Buffer.of(0x62))));
    let copies = 0;
    for (let at = 0; at < 10; at += 1) copies += callsOf(Uint8Array.prototype, 'set', () => expect([...parser.push(Buffer.from(rest))]).toEqual([]));
    expect(begun).toEqual([]);
    expect(copies).toBeLessThan(2.1 * 50_000);
    const [message] = [...parser.push(frame(OPCODE.continuation, true, Buffer.of(0x63)))];
    expect(message).toMatchObject({ kind: 'message', isText: true });
    expect(message?.kind === 'message' && message.bytes.toString()).toBe(`a${'b'.repeat(50_000)}c`);
  });

  it('a message whose bytes come one by one is copied twice, not once for each of them', () => {
    const parser = new WsParser();
    const head = Buffer.from([0x80 | OPCODE.binary, 0x80 | 126, 0x27, 0x10, 0, 0, 0, 0]);
    let copied = 0;
    const { set } = Uint8Array.prototype;
    Uint8Array.prototype.set = function count(this: Uint8Array, source: ArrayLike<number>, offset?: number): void {
      copied += source.length;
      set.call(this, source, offset);
    };
    let messages = 0;
    try {
      for (const byte of Buffer.concat([head, Buffer.alloc(10_000, 5)])) messages += [...parser.push(Uint8Array.of(byte))].length;
    } finally {
      Uint8Array.prototype.set = set;
    }
    expect(messages).toBe(1);
    expect(copied).toBeLessThan(4 * 10_000);
  });

  it('messages of a byte in a tunnel that nobody reads are joined, and the client is paused', async () => {
    const wire = new Wire();
    const stream = tunnel(new WsConnection(wire, Buffer.alloc(0), new HandClock()));
    const messages = Buffer.concat(Array.from({ length: 8000 }, () => frame(OPCODE.binary, true, Buffer.of(1))));
    stream.pause();
    while (!wire.isPaused()) {
      wire.bring(messages);
      await turn();
    }
    expect(stream.readableLength).toBeLessThanOrEqual(streamLimits.pausedBytes);
    let [pieces, bytes] = [0, 0];
    stream.on('data', (chunk: Buffer) => {
      pieces += 1;
      bytes += chunk.length;
    });
    stream.resume();
    await untilTrue(() => !wire.isPaused() && bytes > streamLimits.inboundBytes);
    expect(pieces).toBeLessThan(1000);
  });
});

describe('S85 sizes of a terminal', () => {
  const size = (columns: number): Buffer => Buffer.from(JSON.stringify({ Width: columns, Height: 1 }));

  it('that come while one is being set wait as one: the last', async () => {
    const resizes = new Resizes();
    const set: number[] = [];
    const gates: (() => void)[] = [];
    resizes.onResize(({ columns }) => {
      set.push(columns);
      return new Promise((resolve) => void gates.push(resolve));
    });
    for (let columns = 1; columns <= 1000; columns += 1) resizes.push(size(columns));
    expect(set).toEqual([1]);
    gates[0]?.();
    await untilTrue(() => set.length > 1);
    expect(set).toEqual([1, 1000]);
  });

  it('without an end are not looked through again for each byte', () => {
    const resizes = new Resizes();
    let looked = 0;
    const { indexOf } = Uint8Array.prototype;
    Uint8Array.prototype.indexOf = function count(this: Uint8Array, value: number, from?: number): number {
      looked += this.length;
      return indexOf.call(this, value, from);
    };
    try {
      for (let at = 0; at < 20_000; at += 1) resizes.push(Uint8Array.of(0x20));
    } finally {
      Uint8Array.prototype.indexOf = indexOf;
    }
    expect(looked).toBe(20_000);
    const seen: number[] = [];
    resizes.onResize(({ columns }) => void seen.push(columns));
    resizes.push(size(80));
    expect(seen).toEqual([80]);
  });
});
