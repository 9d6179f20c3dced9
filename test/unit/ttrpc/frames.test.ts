import { describe, expect, it } from 'vitest';
import { FaultError } from '../../../src/base/fault.ts';
import { ttrpcLimits } from '../../../src/ttrpc/bounds.ts';
import { TTRPC_TYPE, TtrpcParser, encodeTtrpcFrame } from '../../../src/ttrpc/frames.ts';
import type { TtrpcFrame } from '../../../src/ttrpc/frames.ts';

const frame = (streamId: number, length: number): TtrpcFrame => ({
  streamId,
  type: TTRPC_TYPE.request,
  flags: 0,
  payload: new Uint8Array(length).map((_, at) => at % 251),
});

const parsed = (chunks: readonly Uint8Array[]): TtrpcFrame[] => {
  const parser = new TtrpcParser();
  return chunks.flatMap((chunk) => [...parser.push(chunk)]);
};

describe('ttrpc frames', () => {
  it('have the protocol’s layout: length, stream, type, flags, payload', () => {
    const bytes = encodeTtrpcFrame({
      streamId: 0x01020305,
      type: TTRPC_TYPE.response,
      flags: 4,
      payload: Uint8Array.of(7, 8),
    });
    expect([...bytes]).toEqual([0, 0, 0, 2, 1, 2, 3, 5, 2, 4, 7, 8]);
  });

  it('are the same however the stream is cut, empty payloads among them', () => {
    const frames = [frame(1, 0), frame(3, 5), frame(5, 70_000), frame(7, 0), frame(9, 1)];
    const stream = Buffer.concat(frames.map(encodeTtrpcFrame));
    for (const size of [1, 2, 3, 9, 10, 11, 1000, 65_536, stream.length]) {
      const chunks: Uint8Array[] = [];
      for (let at = 0; at < stream.length; at += size) chunks.push(stream.subarray(at, at + size));
      expect(parsed(chunks)).toEqual(frames);
    }
  });

  it("don't keep their chunk in memory", () => {
    const chunk = encodeTtrpcFrame(frame(1, 3));
    const [first] = parsed([chunk]);
    chunk.fill(255);
    expect(first?.payload).toEqual(Uint8Array.of(0, 1, 2));
  });

  it('longer than the protocol allows are refused by their head, before any payload is kept', () => {
    const head = encodeTtrpcFrame(frame(1, 0));
    new DataView(head.buffer).setUint32(0, ttrpcLimits.messageBytes + 1);
    expect(() => parsed([head])).toThrow(FaultError);
    expect(() => encodeTtrpcFrame(frame(1, ttrpcLimits.messageBytes + 1))).toThrow(
      'the protocol allows 4194304',
    );
    expect(parsed([encodeTtrpcFrame(frame(1, ttrpcLimits.messageBytes))])).toHaveLength(1);
  });

  it('show whether the stream ends between two of them', () => {
    const parser = new TtrpcParser();
    const bytes = encodeTtrpcFrame(frame(1, 4));
    expect(parser.isBetweenFrames).toBe(true);
    for (let at = 0; at < bytes.length - 1; at += 1) {
      expect([...parser.push(bytes.subarray(at, at + 1))]).toEqual([]);
      expect(parser.isBetweenFrames).toBe(false);
    }
    expect([...parser.push(bytes.subarray(-1))]).toHaveLength(1);
    expect(parser.isBetweenFrames).toBe(true);
  });
});
