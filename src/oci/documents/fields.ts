/** Reads typed fields from strict JSON. Every error names the document and the path of the field. */
import { fail } from '../../base/fault.ts';
import { parseDigest, type Digest } from '../../base/ids.ts';
import { imageLimits } from '../bounds.ts';
import type { StringMap } from '../../ports/specs.ts';
import { JsonError, parseStrictJson, type Json, type JsonObject } from './strict-json.ts';

/** Parses a document that is one object. `what` begins every message, such as `manifest sha256:…`. */
export function parseDocument(bytes: Uint8Array, what: string): Fields {
  if (bytes.byteLength > imageLimits.documentBytes) {
    fail('outside', `${what}: ${bytes.byteLength} bytes, more than the ${imageLimits.documentBytes} allowed`);
  }
  let json: Json;
  try {
    json = parseStrictJson(bytes);
  } catch (error) {
    if (error instanceof JsonError) fail('outside', `${what}: not acceptable JSON: ${error.message}`);
    throw error;
  }
  return new Fields(what, '', asObject(what, 'the document', json));
}

/** The members of one object. JSON null counts as absent, since Go's encoders write it for empty fields. */
export class Fields {
  readonly #what: string;
  readonly #path: string;
  readonly #members: JsonObject;

  constructor(what: string, path: string, members: JsonObject) {
    this.#what = what;
    this.#path = path;
    this.#members = members;
  }

  /** Throws `outside` with the document, the field and the reason. */
  refuse(name: string, reason: string): never {
    return fail('outside', `${this.nameOf(name)} ${reason}`);
  }

  /** The document and the field, as in messages. */
  nameOf(name: string): string {
    return `${this.#what}: ${this.#at(name)}`;
  }

  has(name: string): boolean {
    return this.#get(name) !== undefined;
  }

  /**
   * Refuses a key that differs from one of `names` only in case: Go's decoders ignore case, so containerd and CRI-O
   * would read a field that we do not see (S17).
   */
  refuseLookalikes(names: readonly string[]): void {
    const folded = new Map(names.map((name) => [name.toLowerCase(), name]));
    for (const key of this.#members.keys()) {
      const name = folded.get(key.toLowerCase());
      if (name !== undefined && name !== key) this.refuse(key, `differs only in case from ${name}`);
    }
  }

  /** Refuses members that are not among `names`. */
  refuseOthers(names: readonly string[]): void {
    const other = [...this.#members.keys()].find((key) => !names.includes(key));
    if (other !== undefined)
      this.refuse(JSON.stringify(other.slice(0, imageLimits.quotedChars)), 'is not a known field');
  }

  /** An integer from `least` to `most`; undefined if absent. */
  integer(name: string, least: number, most: number): number | undefined {
    const value = this.#get(name);
    if (value === undefined) return undefined;
    if (typeof value !== 'bigint') this.refuse(name, 'is not an integer');
    if (value < BigInt(least) || value > BigInt(most))
      this.refuse(name, `is ${value}, not within ${least} and ${most}`);
    return Number(value);
  }

  /** Integers from `least` to `most`; empty if absent. */
  integers(name: string, least: number, most: number): readonly number[] {
    return this.#list(name, imageLimits.configEntries).map((item, index) => {
      if (typeof item !== 'bigint') this.refuse(`${name}[${index}]`, 'is not an integer');
      if (item < BigInt(least) || item > BigInt(most))
        this.refuse(`${name}[${index}]`, `is ${item}, not within ${least} and ${most}`);
      return Number(item);
    });
  }

  /** A boolean; undefined if absent. */
  flag(name: string): boolean | undefined {
    const value = this.#get(name);
    if (value === undefined || typeof value === 'boolean') return value;
    return this.refuse(name, 'is neither true nor false');
  }

  /** The text, or `absent`. NUL is refused: it cannot be in any path, name or argument of the kernel. */
  text(name: string, absent: string, maxBytes: number = imageLimits.configEntryBytes): string {
    const value = this.#get(name);
    if (value === undefined) return absent;
    return this.#checkedText(name, value, maxBytes);
  }

  /** The path of a file in an archive. Refuses a missing one, and one that names no file (empty, `/`, `.`). */
  filePath(name: string): string {
    if (!this.has(name)) this.refuse(name, 'is missing');
    return this.#checkedFilePath(name, this.text(name, ''));
  }

  /** Paths as of `filePath`; empty if absent. */
  filePaths(name: string): readonly string[] {
    return this.texts(name).map((text, index) => this.#checkedFilePath(`${name}[${index}]`, text));
  }

  /** A list of texts, bounded in entries and bytes; empty if absent. */
  texts(name: string): readonly string[] {
    let bytes = 0;
    return this.#list(name, imageLimits.configEntries).map((item, index) => {
      const text = this.#checkedText(`${name}[${index}]`, item, imageLimits.configEntryBytes);
      bytes += Buffer.byteLength(text);
      if (bytes > imageLimits.configListBytes)
        this.refuse(name, `has more than ${imageLimits.configListBytes} bytes`);
      return text;
    });
  }

  /** A map of texts without a prototype, frozen; empty if absent. */
  textMap(name: string): StringMap {
    const out = Object.create(null) as Record<string, string>;
    let bytes = 0;
    for (const [key, value] of this.#map(name)) {
      // bounded only all together, since they are not arguments of programs: buildpacks keep a label of 200 KiB
      const text =
        value === null ? '' : this.#checkedText(`${name}.${key}`, value, imageLimits.configListBytes);
      bytes += Buffer.byteLength(key) + Buffer.byteLength(text);
      if (bytes > imageLimits.configListBytes)
        this.refuse(name, `has more than ${imageLimits.configListBytes} bytes`);
      out[key] = text;
    }
    return Object.freeze(out);
  }

  /** The keys of a map whose values have no meaning (Volumes, ExposedPorts), sorted. */
  keys(name: string): readonly string[] {
    return [...this.#map(name).keys()]
      .map((key) => this.#checkedText(`${name} key`, key, imageLimits.pathBytes))
      .toSorted();
  }

  /** A size in bytes: an integer from 0 to `max`. */
  size(name: string, max: number): number {
    const value = this.#get(name);
    if (value === undefined) this.refuse(name, 'is missing');
    if (typeof value !== 'bigint') this.refuse(name, 'is not an integer');
    if (value < 0n || value > BigInt(max)) this.refuse(name, `is ${value}, not within 0 and ${max}`);
    return Number(value);
  }

  digest(name: string): Digest {
    const value = this.#get(name);
    if (value === undefined) this.refuse(name, 'is missing');
    return this.#checkedDigest(name, value);
  }

  digests(name: string, max: number): readonly Digest[] {
    return this.#list(name, max).map((item, index) => this.#checkedDigest(`${name}[${index}]`, item));
  }

  object(name: string): Fields | undefined {
    const value = this.#get(name);
    if (value === undefined) return undefined;
    return new Fields(this.#what, this.#at(name), asObject(this.#what, this.#at(name), value));
  }

  objects(name: string, max: number): readonly Fields[] {
    return this.#list(name, max).map((item, index) => {
      const path = this.#at(`${name}[${index}]`);
      return new Fields(this.#what, path, asObject(this.#what, path, item));
    });
  }

  #at(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }

  #get(name: string): Json | undefined {
    return this.#members.get(name) ?? undefined;
  }

  #list(name: string, max: number): readonly Json[] {
    const value = this.#get(name);
    if (value === undefined) return [];
    if (!Array.isArray(value)) this.refuse(name, 'is not a list');
    const items = value as readonly Json[];
    if (items.length > max) this.refuse(name, `has ${items.length} entries, more than the ${max} allowed`);
    return items;
  }

  #map(name: string): JsonObject {
    const value = this.#get(name);
    if (value === undefined) return new Map();
    const members = asObject(this.#what, this.#at(name), value);
    if (members.size > imageLimits.configEntries) {
      this.refuse(name, `has ${members.size} entries, more than the ${imageLimits.configEntries} allowed`);
    }
    return members;
  }

  #checkedText(name: string, value: Json, maxBytes: number): string {
    if (typeof value !== 'string') this.refuse(name, 'is not a string');
    if (value.includes('\0')) this.refuse(name, 'holds a NUL character');
    if (Buffer.byteLength(value) > maxBytes) this.refuse(name, `is longer than ${maxBytes} bytes`);
    return value;
  }

  #checkedFilePath(name: string, path: string): string {
    if (path === '') this.refuse(name, 'is empty');
    if (path.split('/').every((part) => part === '' || part === '.'))
      this.refuse(name, 'is not the path of a file');
    return path;
  }

  #checkedDigest(name: string, value: Json): Digest {
    const digest = typeof value === 'string' ? parseDigest(value) : undefined;
    return digest ?? this.refuse(name, 'is not a digest (sha256: and 64 lower-case hex digits)');
  }
}

function asObject(what: string, path: string, value: Json): JsonObject {
  if (value instanceof Map) return value as JsonObject;
  return fail('outside', `${what}: ${path} is not an object`);
}
