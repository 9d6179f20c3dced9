/**
 * How many objects a protobuf message becomes once it is decoded, counted before any is made. An empty message in it takes
 * two bytes on the wire and some 250 in memory: a bound on bytes alone lets 16 MiB fill the heap (S85). Pure.
 */

/** What is looked at of a message's descriptor (DescMessage of src/gen). */
export interface MessageDescription {
  readonly fields: readonly FieldDescription[];
}

interface FieldDescription {
  readonly number: number;
  readonly fieldKind: string;
  readonly listKind?: string;
  /** Of a field that is a message, or a list of some. */
  readonly message?: MessageDescription | undefined;
  readonly packed?: boolean;
}

/** Wire types (protobuf encoding, "Message Structure"). */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** No smaller message is looked at: it can have no more pieces than half of its bytes. */
const LOOKED_AT_BYTES = 1024;

/** Messages in messages: CRI and NRI have six levels. */
const DEPTH = 32;

/** An upper bound: fields and elements of lists, at every level. What is no message ends the count; decoding refuses it. */
export function messagePieces(schema: MessageDescription, bytes: Uint8Array): number {
  if (bytes.length <= LOOKED_AT_BYTES) return bytes.length >>> 1;
  const walk = new Walk(bytes);
  walk.message(schema, bytes.length, 0);
  return walk.pieces;
}

class Walk {
  pieces = 0;
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** False when the rest can't be read. */
  message(schema: MessageDescription, end: number, depth: number): boolean {
    const fields = fieldsOf(schema);
    while (this.#at < end) {
      const tag = this.#varint();
      this.pieces += 1;
      const type = tag % 8;
      if (type === VARINT) this.#varint();
      else if (type === FIXED64) this.#at += 8;
      else if (type === FIXED32) this.#at += 4;
      else if (type !== BYTES || !this.#content(fields.get(Math.floor(tag / 8)), depth)) return false;
    }
    return this.#at === end;
  }

  #content(field: FieldDescription | undefined, depth: number): boolean {
    const end = this.#varint() + this.#at;
    if (end > this.#bytes.length || depth >= DEPTH) return false;
    const inner = field?.fieldKind === 'message' || field?.fieldKind === 'list' ? field.message : undefined;
    if (inner !== undefined) return this.message(inner, end, depth + 1);
    // a list of numbers in one piece (protobuf encoding, "Packed Repeated Fields"): each ends with a byte below 0x80
    const isPacked = field?.fieldKind === 'list' && field.listKind !== 'message' && field.packed;
    for (; isPacked && this.#at < end; this.#at += 1) if ((this.#bytes[this.#at] ?? 0) < 0x80) this.pieces += 1;
    this.#at = end;
    return true;
  }

  #varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 0x80) {
      const byte = this.#bytes[this.#at] ?? 0;
      this.#at += 1;
      value += (byte % 0x80) * factor;
      if (byte < 0x80) return value;
    }
  }
}

const known = new WeakMap<MessageDescription, ReadonlyMap<number, FieldDescription>>();

function fieldsOf(schema: MessageDescription): ReadonlyMap<number, FieldDescription> {
  const fields = known.get(schema) ?? new Map(schema.fields.map((field) => [field.number, field]));
  known.set(schema, fields);
  return fields;
}
