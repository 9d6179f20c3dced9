import { describe, expect, it } from 'vitest';
import { decodePlain, encodePlain } from '../../../src/base/codec.ts';

const again = (value: unknown): unknown => decodePlain(encodePlain(value));

describe('codec', () => {
  it.each([0n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 10n ** 100n])(
    'keeps the bigint %s whole (S61: integers above 2^53)',
    (value) => {
      expect(again({ value })).toEqual({ value });
    },
  );

  it('keeps bytes in a new buffer', () => {
    const bytes = new Uint8Array([0, 1, 127, 128, 255]);
    const back = again(bytes);
    expect(back).toBeInstanceOf(Uint8Array);
    expect([...(back as Uint8Array)]).toEqual([...bytes]);
    expect([...(again(new Uint8Array(0)) as Uint8Array)]).toEqual([]);
  });

  it('leaves out members that are undefined, and writes null for them in lists', () => {
    expect(encodePlain({ a: undefined, b: null, c: [undefined, 1] })).toBe('{"b":null,"c":[null,1]}');
  });

  it.each([
    { $i: '12' },
    { $b: 'AAAA' },
    { $o: { $i: 'x' } },
    { $i: '1', $b: 'AA', $o: 1 },
    { $i: 'not a number' },
    { $o: { $o: { $b: 1 } } },
    { labels: { $i: '7', other: 'x' } },
  ])("keeps a user's own keys that resemble marks: %j", (value) => {
    expect(again(value)).toEqual(value);
  });

  it.each(['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'])(
    'S61: the key %s is an ordinary member and changes no prototype',
    (key) => {
      const value = JSON.parse(`{"labels":{"${key}":{"polluted":"yes"}}}`) as {
        labels: Record<string, unknown>;
      };
      const back = again(value) as { labels: Record<string, unknown> };
      expect(Object.hasOwn(back.labels, key)).toBe(true);
      expect(Object.getOwnPropertyDescriptor(back.labels, key)?.value).toEqual({ polluted: 'yes' });
      expect(Object.getPrototypeOf(back.labels)).toBe(Object.prototype);
      expect(({} as { polluted?: string }).polluted).toBeUndefined();
    },
  );

  it('S61: the top of a text cannot change a prototype either', () => {
    const back = decodePlain('{"__proto__":{"admin":true}}') as { admin?: boolean };
    expect(back.admin).toBeUndefined();
    expect(Object.keys(back)).toEqual(['__proto__']);
  });

  it('keeps strings with lone surrogates, NULs and a byte order mark as they are (S61)', () => {
    for (const text of ['\ud800', 'a\u0000b', '\ufeffx', '\u2028']) expect(again(text)).toBe(text);
  });

  it.each([NaN, Infinity, -Infinity])('refuses the number %s, which JSON would turn into null', (value) => {
    expect(() => encodePlain({ value })).toThrow(TypeError);
  });

  it('refuses values that are not data', () => {
    expect(() => encodePlain({ run: () => 1 })).toThrow(TypeError);
    expect(() => encodePlain(Symbol('x'))).toThrow(TypeError);
  });

  it('throws SyntaxError for a text of another encoder', () => {
    expect(() => decodePlain('{"a":')).toThrow(SyntaxError);
    expect(() => decodePlain('{"$i":"1.5"}')).toThrow(SyntaxError);
    for (const text of ['1e999', '{"a":[-6e795]}']) expect(() => decodePlain(text)).toThrow(SyntaxError);
  });
});
