/** Frames of WebSocket: whole, in pieces, in fragments, damaged, and those that a server must refuse. */
import { describe, expect, it } from 'vitest';
import { FaultError } from '../../../../src/base/fault.ts';
import { streamLimits } from '../../../../src/cri/bounds.ts';
import { acceptKey } from '../../../../src/cri/streaming/ws-connection.ts';
import { parseMessage } from '../../../../src/cri/streaming/ws-command.ts';
import { WsParser, closePayload, frameHead } from '../../../../src/cri/streaming/ws-frames.ts';
import type { WsMessage } from '../../../../src/cri/streaming/ws-frames.ts';
import { generator, pieces } from './support.ts';

/** As a client sends it. */
function masked(opcode: number, payload: Buffer, fin = true): Buffer {
  const head = frameHead(opcode, payload.length);
  head[0] = (fin ? 0x80 : 0) | opcode;
  head[1] = (head[1] ?? 0) | 0x80;
  const key = Buffer.from([1, 2, 3, 4]);
  return Buffer.concat([head, key, payload.map((byte, at) => byte ^ (key[at % 4] ?? 0))]);
}

function read(chunks: readonly Buffer[], inPieces = false): WsMessage[] {
  const parser = new WsParser(inPieces);
  // a payload is unmasked where it lies
  return chunks.flatMap((chunk) => [...parser.push(Buffer.from(chunk))]);
}

const long = Buffer.alloc(70_000, 'x');
const row = Buffer.concat([
  masked(2, Buffer.from('one')),
  masked(1, Buffer.from('two, ä')),
  masked(2, Buffer.from('begin '), false),
  masked(9, Buffer.from('ping')),
  masked(0, Buffer.from('and '), false),
  masked(0, Buffer.from('end')),
  masked(2, Buffer.alloc(0)),
  masked(10, Buffer.alloc(0)),
  masked(2, Buffer.alloc(200, 'm')),
  masked(2, long),
  masked(8, closePayload(1000, 'bye')),
]);
const expected = [
  { kind: 'message', isText: false, bytes: Buffer.from('one') },
  { kind: 'message', isText: true, bytes: Buffer.from('two, ä') },
  { kind: 'ping', bytes: Buffer.from('ping') },
  { kind: 'message', isText: false, bytes: Buffer.from('begin and end') },
  { kind: 'message', isText: false, bytes: Buffer.alloc(0) },
  { kind: 'pong' },
  { kind: 'message', isText: false, bytes: Buffer.alloc(200, 'm') },
  { kind: 'message', isText: false, bytes: long },
  { kind: 'close', code: 1000 },
];

describe('WebSocket frames', () => {
  it('are read whole and in pieces of any size', () => {
    expect(read([row])).toEqual(expected);
    for (const size of [1, 3, 14, 1000]) expect(read(pieces(row, size))).toEqual(expected);
  });

  it('are unmasked at any alignment in memory, and from any offset of a piece', () => {
    const payload = Buffer.from(Array.from({ length: 1000 }, (_none, at) => (at * 7) % 256));
    for (let offset = 0; offset < 8; offset += 1) {
      for (const length of [0, 1, 127, 128, 131, 1000]) {
        const frame = masked(2, payload.subarray(0, length));
        const moved = Buffer.concat([Buffer.alloc(offset), frame]).subarray(offset);
        expect([...new WsParser().push(moved)]).toEqual([
          { kind: 'message', isText: false, bytes: payload.subarray(0, length) },
        ]);
      }
      const parts = read(pieces(masked(2, payload), 150 + offset), true);
      expect(
        Buffer.concat(parts.map((part) => (part.kind === 'message' ? part.bytes : Buffer.alloc(0)))),
      ).toEqual(payload);
    }
  });

  it('answer a key as in RFC 6455, 1.3', () => {
    expect(acceptKey('dGhlIHNhbXBsZSBub25jZQ==')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  });

  it.each([
    ['a frame without mask', Buffer.from([0x82, 0x01, 0x00])],
    ['a reserved bit', Buffer.from([0xc2, 0x80, 0, 0, 0, 0])],
    ['an unknown opcode', masked(3, Buffer.alloc(0))],
    ['a control frame in parts', masked(9, Buffer.alloc(0), false)],
    ['a long control frame', masked(9, Buffer.alloc(126))],
    ['a continuation of nothing', masked(0, Buffer.alloc(1))],
    [
      'a message inside another',
      Buffer.concat([masked(2, Buffer.alloc(1), false), masked(2, Buffer.alloc(1))]),
    ],
    ['a close frame of one byte', masked(8, Buffer.alloc(1))],
  ])('refuse %s', (_name, bytes) => {
    expect(() => read([bytes])).toThrow(FaultError);
  });

  it('refuse a message that is too long before it has come, in one frame or in many (S68)', () => {
    const head = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    expect(() => read([head])).toThrow(/more than/u);
    const part = Buffer.alloc(streamLimits.webSocketMessageBytes / 2 + 1);
    expect(() => read([masked(2, part, false), masked(0, part, false)])).toThrow(/more than/u);
  });

  it('are passed on in pieces as they come: the same bytes, each message separate', () => {
    const joined = (size: number): readonly (WsMessage | string)[] => {
      const parser = new WsParser(true);
      const all: (WsMessage | string)[] = [];
      for (const chunk of pieces(Buffer.from(row), size)) {
        for (const one of parser.push(Buffer.from(chunk))) {
          if (one.kind !== 'message') all.push(one);
          else if (one.isContinued === true) all.push(`+${one.bytes.toString()}`);
          else all.push(`${one.isText ? 'text' : 'binary'} ${one.bytes.toString()}`);
        }
      }
      return all;
    };
    expect(joined(row.length)).toEqual([
      'binary one',
      'text two, ä',
      'binary begin ',
      { kind: 'ping', bytes: Buffer.from('ping') },
      '+and ',
      '+end',
      { kind: 'pong' },
      `binary ${'m'.repeat(200)}`,
      `binary ${'x'.repeat(long.length)}`,
      { kind: 'close', code: 1000 },
    ]);
    const latin = (size: number): string => {
      const parser = new WsParser(true);
      const all = pieces(Buffer.from(row), size).flatMap((chunk) => [...parser.push(Buffer.from(chunk))]);
      return all.map((one) => (one.kind === 'message' ? one.bytes.toString('latin1') : one.kind)).join('');
    };
    for (const size of [1, 2, 5, 14, 1000]) expect(latin(size)).toBe(latin(row.length));
  });

  it('in pieces keep nothing, refuse a long message at its head, and damage as before (S68)', () => {
    const parser = new WsParser(true);
    const size = 8 * streamLimits.webSocketMessageBytes;
    let came = 0;
    for (const chunk of pieces(masked(2, Buffer.alloc(size, 7)), 65_536)) {
      for (const one of parser.push(chunk))
        if (one.kind === 'message') came += one.bytes.every((byte) => byte === 7) ? one.bytes.length : 0;
    }
    expect(came).toBe(size);
    const huge = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    expect(() => [...new WsParser(true).push(huge)]).toThrow(/more than/u);
    for (const bytes of [
      masked(3, Buffer.alloc(1)),
      masked(0, Buffer.alloc(1)),
      Buffer.concat([masked(2, Buffer.alloc(1), false), masked(2, Buffer.alloc(1))]),
    ]) {
      expect(() => [...new WsParser(true).push(bytes)]).toThrow(FaultError);
    }
  });

  it('keep nothing of empty fragments', () => {
    const parser = new WsParser();
    expect([...parser.push(masked(2, Buffer.from('a'), false))]).toEqual([]);
    for (let count = 0; count < 10_000; count += 1)
      expect([...parser.push(masked(0, Buffer.alloc(0), false))]).toEqual([]);
    expect([...parser.push(masked(0, Buffer.from('b')))]).toMatchObject([{ bytes: Buffer.from('ab') }]);
  });

  it.each([
    ['whole', false],
    ['in pieces', true],
  ])('damaged in any way are read or refused, %s', (_name, inPieces) => {
    const short = row.subarray(0, 120);
    const random = generator(11);
    for (let round = 0; round < 4000; round += 1) {
      const damaged = Buffer.from(short);
      for (let changes = 0; changes <= random(3); changes += 1) damaged[random(damaged.length)] = random(256);
      try {
        read(pieces(damaged.subarray(0, 1 + random(damaged.length)), 1 + random(30)), inPieces);
      } catch (error) {
        expect(error).toBeInstanceOf(FaultError);
      }
    }
  });

  it('cut a close reason at a whole character', () => {
    const payload = closePayload(1011, 'ä'.repeat(200));
    expect(payload.length).toBeLessThanOrEqual(125);
    expect(payload.subarray(2).toString('utf8')).not.toContain('\uFFFD');
  });
});

describe('channels', () => {
  it('are named by a byte, or by a digit before base64', () => {
    expect(parseMessage(Buffer.from([4, 0x7b]), false)).toEqual({ channel: 4, data: Buffer.from('{') });
    expect(parseMessage(Buffer.from('0aGk='), true)).toEqual({ channel: 0, data: Buffer.from('hi') });
    expect(parseMessage(Buffer.alloc(0), false)).toBeUndefined();
    expect(parseMessage(Buffer.from('xaGk='), true)).toBeUndefined();
    expect(parseMessage(Buffer.from('0a*k='), true)).toBeUndefined();
  });
});
