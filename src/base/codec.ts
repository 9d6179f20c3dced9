/**
 * The text form of values in journal, log and introspection: JSON in which a bigint is `{"$i":"123"}` and bytes are
 * `{"$b":"<base64>"}`. A plain object that has such a key itself is wrapped as `{"$o":{…}}`, so that a user's label
 * "$i" survives. Decoding never sets a prototype: `__proto__` becomes an own key (S61).
 */
import { SecretUrl } from './secret-url.ts';

export type Plain =
  | null
  | boolean
  | number
  | string
  | bigint
  | Uint8Array
  | undefined
  | readonly Plain[]
  | { readonly [key: string]: Plain };

type EncodedPlain = null | boolean | number | string | EncodedPlain[] | { [key: string]: EncodedPlain };

/** The text of a plain value; undefined members are left out. Throws TypeError on a number that is not finite. */
export function encodePlain(value: unknown): string {
  return JSON.stringify(toJson(value));
}

/** The value of a text made by `encodePlain`. Throws SyntaxError when it is not such a text. */
export function decodePlain(text: string): unknown {
  return fromJson(JSON.parse(text) as EncodedPlain);
}

function toJson(value: unknown): EncodedPlain | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'bigint') return { $i: value.toString() };
  if (value instanceof Uint8Array) return { $b: Buffer.from(value).toString('base64') };
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`cannot encode the number ${value}`);
    return value;
  }
  if (Array.isArray(value)) return value.map((item) => toJson(item) ?? null);
  if (value instanceof SecretUrl) return value.shown;
  if (typeof value === 'object') return objectToJson(value);
  throw new TypeError(`cannot encode a ${typeof value}`);
}

function objectToJson(value: object): EncodedPlain {
  const out = Object.create(null) as { [key: string]: EncodedPlain };
  let marked = false;
  for (const [key, member] of Object.entries(value)) {
    const json = toJson(member);
    if (json === undefined) continue;
    out[key] = json;
    if (key === '$i' || key === '$b' || key === '$o') marked = true;
  }
  return marked ? { $o: out } : out;
}

function fromJson(json: EncodedPlain): unknown {
  if (Array.isArray(json)) return json.map(fromJson);
  // JSON.parse turns 1e999 into Infinity, which can't be encoded again: a compaction of the journal would fail
  if (typeof json === 'number' && !Number.isFinite(json)) throw new SyntaxError('a number is too large');
  if (json === null || typeof json !== 'object') return json;
  const keys = Object.keys(json);
  const only = keys.length === 1 ? keys[0] : undefined;
  if (only === '$i') return BigInt(json['$i'] as string);
  if (only === '$b') return new Uint8Array(Buffer.from(json['$b'] as string, 'base64'));
  if (only === '$o') return objectFromJson(json['$o'] as { [key: string]: EncodedPlain });
  return objectFromJson(json);
}

function objectFromJson(json: { [key: string]: EncodedPlain }): object {
  const out: Record<string, unknown> = {};
  for (const key of Object.keys(json)) {
    // defineProperty: an assignment to `__proto__` would change the object's prototype
    Object.defineProperty(out, key, {
      value: fromJson(json[key] as EncodedPlain),
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return out;
}
