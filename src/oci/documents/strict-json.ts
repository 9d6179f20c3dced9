/**
 * Parses untrusted JSON. `JSON.parse` takes the last of two equal keys, loses digits of large integers and recurses
 * to any depth, so that two programs may read one signed document in two ways (GHSA-5j5w-g665-5m35). This parser
 * refuses a document that is ambiguous: duplicate keys, excessive depth, long numbers, lone surrogates, a BOM, bytes
 * that are not UTF-8, data after the value. Objects become Maps, so that a key `__proto__` is an ordinary key (S61).
 */
import { imageLimits } from '../bounds.ts';

export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;
/** Integers are bigint, other numbers are number. */
export type JsonObject = ReadonlyMap<string, Json>;

/** Why a text is refused, with the position in characters from the start. */
export class JsonError extends Error {
  /** @param line from 1 */
  constructor(reason: string, at: number, line = 1) {
    super(`${reason} at character ${at}${line === 1 ? '' : ` (line ${line})`}`);
    this.name = 'JsonError';
  }
}

/** Parses a UTF-8 JSON text. Throws JsonError. The caller bounds the bytes. */
export function parseStrictJson(bytes: Uint8Array): Json {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new JsonError('bytes that are not UTF-8', 0);
  }
  return new Parser(text).document();
}

// one regular expression per token with the sticky flag: the text is scanned once
const SPACE = /[ \t\n\r]*/uy;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/uy;
// eslint-disable-next-line no-control-regex -- JSON forbids them raw
const PLAIN = /[^"\\\u0000-\u001f]*/uy;
const HEX4 = /^[0-9a-fA-F]{4}$/u;

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): Json {
    const value = this.#value(0);
    this.#skip(SPACE);
    if (this.#at < this.#text.length) this.#refuse('data after the value');
    return value;
  }

  #refuse(reason: string): never {
    const line = this.#text.slice(0, this.#at).split('\n').length;
    throw new JsonError(reason, this.#at, line);
  }

  #skip(what: RegExp): string {
    what.lastIndex = this.#at;
    const found = what.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }

  #take(word: string): boolean {
    if (!this.#text.startsWith(word, this.#at)) return false;
    this.#at += word.length;
    return true;
  }

  #value(depth: number): Json {
    if (depth > imageLimits.jsonDepth) this.#refuse(`nesting deeper than ${imageLimits.jsonDepth}`);
    this.#skip(SPACE);
    if (this.#take('{')) return this.#object(depth);
    if (this.#take('[')) return this.#array(depth);
    if (this.#take('"')) return this.#string();
    if (this.#take('true')) return true;
    if (this.#take('false')) return false;
    if (this.#take('null')) return null;
    return this.#number();
  }

  #object(depth: number): JsonObject {
    const members = new Map<string, Json>();
    this.#skip(SPACE);
    if (this.#take('}')) return members;
    for (;;) {
      this.#skip(SPACE);
      if (!this.#take('"')) this.#refuse('no key where one belongs');
      const key = this.#string();
      if (members.has(key)) this.#refuse(`the key ${JSON.stringify(key.slice(0, 64))} twice in one object`);
      this.#skip(SPACE);
      if (!this.#take(':')) this.#refuse('no colon after a key');
      members.set(key, this.#value(depth + 1));
      this.#skip(SPACE);
      if (this.#take('}')) return members;
      if (!this.#take(',')) this.#refuse('an object that is not closed');
    }
  }

  #array(depth: number): readonly Json[] {
    const items: Json[] = [];
    this.#skip(SPACE);
    if (this.#take(']')) return items;
    for (;;) {
      items.push(this.#value(depth + 1));
      this.#skip(SPACE);
      if (this.#take(']')) return items;
      if (!this.#take(',')) this.#refuse('an array that is not closed');
    }
  }

  #number(): number | bigint {
    NUMBER.lastIndex = this.#at;
    const found = NUMBER.exec(this.#text);
    if (found === null) this.#refuse('no value where one belongs');
    if (found[0].length > imageLimits.jsonNumberChars) {
      this.#refuse(`a number of more than ${imageLimits.jsonNumberChars} characters`);
    }
    this.#at += found[0].length;
    if (found[1] === undefined && found[2] === undefined) return BigInt(found[0]);
    const value = Number(found[0]);
    if (!Number.isFinite(value)) this.#refuse('a number that no double holds');
    return value;
  }

  #string(): string {
    const parts: string[] = [];
    for (;;) {
      parts.push(this.#skip(PLAIN));
      if (this.#take('"')) break;
      if (!this.#take('\\')) this.#refuse('a string that is not closed, or a raw control character in it');
      parts.push(this.#escape());
    }
    const text = parts.join('');
    // two readers would differ in half a surrogate pair (S61)
    if (!text.isWellFormed()) this.#refuse('half of a surrogate pair');
    return text;
  }

  #escape(): string {
    const letter = this.#text.charAt(this.#at);
    const plain = ESCAPES.get(letter);
    if (plain !== undefined) {
      this.#at += 1;
      return plain;
    }
    const hex = this.#text.slice(this.#at + 1, this.#at + 5);
    if (letter !== 'u' || !HEX4.test(hex)) this.#refuse('an unknown escape');
    this.#at += 5;
    return String.fromCharCode(Number.parseInt(hex, 16));
  }
}
