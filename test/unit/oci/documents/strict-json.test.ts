import { describe, expect, it } from 'vitest';
import { JsonError, parseStrictJson, type Json } from '../../../../src/oci/documents/strict-json.ts';

const parse = (text: string): Json => parseStrictJson(Buffer.from(text));

/** Maps as plain objects, integers as numbers: comparable with JSON.parse. */
function plain(json: Json): unknown {
  if (json instanceof Map) return Object.fromEntries([...json].map(([key, value]) => [key, plain(value)]));
  if (Array.isArray(json)) return json.map((item: Json) => plain(item));
  return typeof json === 'bigint' ? Number(json) : json;
}

describe('strict JSON', () => {
  it.each([
    '{}',
    '[]',
    ' { "a" : [ 1 , -2.5e3 , true , false , null , "x" ] } ',
    '"\\u0041\\n\\"\\\\\\/\\ud83d\\ude00"',
    '{"a":{"b":{"c":[[[]]]}}}',
    '0',
    '-0.0',
    '"ü€"',
  ])('reads %s as JSON.parse does', (text) => {
    expect(plain(parse(text))).toEqual(JSON.parse(text));
  });

  it('keeps every digit of an integer (S62)', () => {
    expect(parse('9007199254740993')).toBe(9_007_199_254_740_993n);
  });

  it.each([
    ['S61 duplicate keys', '{"a":1,"b":2,"a":3}'],
    ['S61 duplicate keys, one of them escaped', '{"a":1,"\\u0061":3}'],
    ['S61 depth 100000', '['.repeat(100_000)],
    ['S61 depth 33, closed', `${'['.repeat(34)}${']'.repeat(34)}`],
    ['S61 a number of a million digits', '1'.repeat(1_000_000)],
    ['S61 a number beyond a double', '1e999'],
    ['S61 lone surrogate', '"\\ud800"'],
    ['S61 surrogates in wrong order', '"\\ude00\\ud83d"'],
    ['S61 BOM', '\uFEFF{}'],
    ['S61 trailing data', '{} {}'],
    ['S61 trailing comma in object', '{"a":1,}'],
    ['S61 trailing comma in array', '[1,]'],
    ['empty', ''],
    ['only space', '  '],
    ['raw control character', '"\n"'],
    ['unknown escape', '"\\x41"'],
    ['short escape', '"\\u12"'],
    ['single quotes', "{'a':1}"],
    ['unclosed string', '"abc'],
    ['unclosed object', '{"a":1'],
    ['no colon', '{"a" 1}'],
    ['no key', '{1:2}'],
    ['NaN', 'NaN'],
    ['leading zero', '01'],
    ['plus', '+1'],
    ['bare point', '.5'],
    ['comment', '{/**/}'],
    ['NUL after', '{}\0'],
  ])('refuses %s', (_name, text) => {
    expect(() => parse(text)).toThrow(JsonError);
  });

  it('S61 refuses bytes that are not UTF-8', () => {
    expect(() => parseStrictJson(new Uint8Array([0x22, 0xff, 0x22]))).toThrow(JsonError);
  });

  it('S61 __proto__, constructor and toString are ordinary keys', () => {
    const json = parse('{"__proto__":{"polluted":1},"constructor":2,"toString":3}');
    expect(json).toBeInstanceOf(Map);
    expect([...(json as Map<string, Json>).keys()]).toEqual(['__proto__', 'constructor', 'toString']);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});
