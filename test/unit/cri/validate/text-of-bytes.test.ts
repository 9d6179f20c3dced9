import { describe, expect, it } from 'vitest';
import { textOfBytes } from '../../../../src/cri/validate/text-of-bytes.ts';

const of = (...bytes: readonly number[]): string => textOfBytes(Uint8Array.from(bytes));

describe('bytes as text', () => {
  it('UTF-8 is unchanged, including the byte order mark and the last code point', () => {
    for (const text of ['', 'plain', 'é€😀', '\ufeffx', '\u{10ffff}\ud7ff\ue000\ufffd', '\0\n']) {
      expect(textOfBytes(new TextEncoder().encode(text))).toBe(text);
    }
  });

  it.each<[string, readonly number[], string]>([
    ['a byte that begins nothing', [0x61, 0x80, 0xff, 0x62], 'a\ufffd\ufffdb'],
    ['a character that is cut off by another', [0xe2, 0x82, 0x62], '\ufffd\ufffdb'],
    ['a character that is cut off by the end', [0x61, 0xf0, 0x9f, 0x98], 'a\ufffd\ufffd\ufffd'],
    ['longer than need be', [0xc0, 0xaf, 0xe0, 0x80, 0xaf, 0xf0, 0x80, 0x80, 0xaf], '\ufffd'.repeat(9)],
    ['surrogates', [0xed, 0xa0, 0x80, 0xed, 0x9f, 0xbf], '\ufffd\ufffd\ufffd\ud7ff'],
    ['beyond the last character', [0xf4, 0x90, 0x80, 0x80, 0xf5], '\ufffd'.repeat(5)],
    [
      'whole characters between',
      [0xff, 0xc3, 0xa9, 0xff, 0xf0, 0x9f, 0x98, 0x80, 0xff],
      '\ufffdé\ufffd😀\ufffd',
    ],
  ])('%s gives one replacement character for each byte', (_what, bytes, text) => {
    expect(of(...bytes)).toBe(text);
  });

  it('the largest value is read', () => {
    expect(textOfBytes(new Uint8Array(128 * 1024).fill(0xff))).toHaveLength(128 * 1024);
  });
});
