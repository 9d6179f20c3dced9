// Lines of bytes that come in any pieces.
import { describe, expect, it } from 'vitest';
import { LineCutter } from '../../../src/base/line-cutter.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');

describe('lines', () => {
  it('come out whole, whatever the pieces', () => {
    const cutter = new LineCutter(100);
    const whole = '{"pid": 7}\n{"data": "ä"}\nrest';
    const lines = [...bytes(whole)].flatMap((byte) => [...cutter.push(Uint8Array.of(byte))]);
    expect(lines).toEqual(['{"pid": 7}', '{"data": "ä"}']);
    expect([cutter.takeRest(), cutter.takeRest(), cutter.isCut]).toEqual(['rest', '', false]);
  });

  it('come out one by one, empty lines too', () => {
    expect([...new LineCutter(100).push(bytes('a\n\nb\n'))]).toEqual(['a', '', 'b']);
  });

  it('S85 are kept up to a bound, and a long one in single bytes is scanned once for each byte', () => {
    const cutter = new LineCutter(1000);
    let looked = 0;
    const { indexOf } = Uint8Array.prototype;
    Uint8Array.prototype.indexOf = function count(this: Uint8Array, value: number, from?: number): number {
      looked += this.length;
      return indexOf.call(this, value, from);
    };
    try {
      for (let at = 0; at < 100_000; at += 1)
        for (const line of cutter.push(Uint8Array.of(0x78))) expect.unreachable(line);
    } finally {
      Uint8Array.prototype.indexOf = indexOf;
    }
    expect([looked, cutter.isCut]).toEqual([100_000, true]);
    expect([...cutter.push(bytes('\nnext\n'))]).toEqual(['x'.repeat(1000), 'next']);
  });
});
