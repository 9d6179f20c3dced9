// Clients that read nothing, send single bytes over WebSocket, or sizes without end: what is kept of them is bounded by
// bytes.
import { describe, expect, it } from 'vitest';
import { streamLimits } from '../../../../src/cri/bounds.ts';
import { portLimits } from '../../../../src/ports/bounds.ts';
import { Resizes } from '../../../../src/cri/streaming/command-channels.ts';
import { spdyCommand } from '../../../../src/cri/streaming/spdy-command.ts';
import { synStreamFrame } from '../../../../src/cri/streaming/spdy-frames.ts';
import { HeaderCodec } from '../../../../src/cri/streaming/spdy-headers.ts';
import { Outbox, movedBytes } from '../../../../src/cri/streaming/transport.ts';
import { WsConnection, tunnel } from '../../../../src/cri/streaming/ws-connection.ts';
import { OPCODE, WsParser } from '../../../../src/cri/streaming/ws-frames.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { Wire } from './support.ts';
import { loopTurn, untilTrue } from '../../../support/turns.ts';
import { callsOf } from './counted-calls.ts';

/** A client's frame, masked with zeros. */
function frame(opcode: number, fin: boolean, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of((fin ? 0x80 : 0) | opcode, 0x80 | payload.length, 0, 0, 0, 0), payload]);
}

describe('S85 a client that reads nothing', () => {
  it('has one write under way; further output is joined, in order', async () => {
    const wire = new Wire();
    const outbox = new Outbox(wire);
    wire.isHolding = true;
    const writes = Array.from({ length: 50_000 }, (_none, at) => outbox.write(Buffer.of(at % 251)));
    expect([wire.sent.length, wire.writableLength]).toEqual([1, 1]);
    wire.release();
    await Promise.all(writes);
    expect(wire.sent.length).toBeLessThan(20);
    expect(
      Buffer.compare(wire.written, Buffer.from(Array.from({ length: 50_000 }, (_none, at) => at % 251))),
    ).toBe(0);
  });

  it('counts as idle, however much it sends; one that reads does not', () => {
    const wire = Object.assign(new Wire(), { bytesRead: 7, bytesWritten: 5 });
    expect(movedBytes(wire)).toBe(12);
    wire.isHolding = true;
    wire.write('output');
    wire.bytesRead += 1000;
    expect(movedBytes(wire)).toBe(5);
  });

  it.each([
    ['a good end', { kind: 'exited', exitCode: 0 }, streamLimits.idleMs],
    [
      'a bad end',
      { kind: 'failed', fault: { kind: 'cancelled', message: 'gone' } },
      portLimits.streamDrainMs,
    ],
  ] as const)('does not hold its session for ever after %s', async (_what, end, ms) => {
    const [wire, codec, clock] = [new Wire(), new HeaderCodec(), new HandClock()];
    const wanted = { stdin: false, stdout: true, stderr: false, tty: false };
    const opening = spdyCommand({
      transport: wire,
      head: Buffer.alloc(0),
      wanted,
      version: 4,
      clock,
      onGone: () => undefined,
    });
    wire.bring(synStreamFrame(1, await codec.encode(new Map([['streamtype', 'error']])), false));
    wire.bring(synStreamFrame(3, await codec.encode(new Map([['streamtype', 'stdout']])), false));
    const channels = await opening;
    wire.isHolding = true;
    void channels.streams.stdout?.write(Buffer.alloc(1000)).catch(() => undefined);
    let isOver = false;
    void channels.finish(end as Parameters<typeof channels.finish>[0]).then(() => (isOver = true));
    // a wait without a bound of its own would never come to the next step
    for (let turns = 0; turns < 20; turns += 1) await loopTurn();
    clock.fire(ms);
    for (let turns = 0; turns < 20; turns += 1) await loopTurn();
    // the second one is that of the connection's own end
    expect(wire.writableEnded).toBe(true);
    clock.fire(ms);
    for (let turns = 0; turns < 20; turns += 1) await loopTurn();
    expect(isOver).toBe(true);
    expect(wire.destroyed).toBe(true);
  });
});

describe('S85 single bytes in WebSocket', () => {
  it('fragments of a byte are joined, each copied once', () => {
    const parser = new WsParser();
    const begun = [...parser.push(frame(OPCODE.text, false, Buffer.of(0x61)))];
    const rest = Buffer.concat(
      Array.from({ length: 5000 }, () => frame(OPCODE.continuation, false, Buffer.of(0x62))),
    );
    let copies = 0;
    for (let at = 0; at < 10; at += 1)
      copies += callsOf(Uint8Array.prototype, 'set', () =>
        expect([...parser.push(Buffer.from(rest))]).toEqual([]),
      );
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
    Uint8Array.prototype.set = function count(
      this: Uint8Array,
      source: ArrayLike<number>,
      offset?: number,
    ): void {
      copied += source.length;
      set.call(this, source, offset);
    };
    let messages = 0;
    try {
      for (const byte of Buffer.concat([head, Buffer.alloc(10_000, 5)]))
        messages += [...parser.push(Uint8Array.of(byte))].length;
    } finally {
      Uint8Array.prototype.set = set;
    }
    expect(messages).toBe(1);
    expect(copied).toBeLessThan(4 * 10_000);
  });

  it('messages of a byte in a tunnel that nobody reads are joined, and the client is paused', async () => {
    const wire = new Wire();
    const stream = tunnel(new WsConnection(wire, Buffer.alloc(0), new HandClock()));
    const messages = Buffer.concat(
      Array.from({ length: 8000 }, () => frame(OPCODE.binary, true, Buffer.of(1))),
    );
    stream.pause();
    while (!wire.isPaused()) {
      wire.bring(messages);
      await loopTurn();
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

  it('without an end are not scanned again for each byte', () => {
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
