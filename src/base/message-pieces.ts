/**
 * Counts the objects that a protobuf message becomes, before it is decoded. An empty message in it takes two bytes on
 * the wire and some 250 in memory: with a bound on bytes alone 16 MiB fill the heap (S85). Pure.
 */

/** The part of a message's descriptor that is read (DescMessage of src/gen). */
export interface MessageDescription {
  readonly fields: readonly FieldDescription[];
}

interface FieldDescription {
  readonly number: number;
  readonly fieldKind: string;
  readonly listKind?: string | undefined;
  readonly mapKind?: string | undefined;
  /** ScalarType of the runtime library: of a scalar, of a list's elements or a map's values. */
  readonly scalar?: number | undefined;
  readonly mapKey?: number | undefined;
  /** Of a field that is a message, a list of messages, or a map to messages. */
  readonly message?: MessageDescription | undefined;
}

/** Wire types (protobuf encoding, "Message Structure"). Groups (3 and 4) are not in proto3. */
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** Wire types of scalars that are not varints, by the numbers of descriptor.proto (FieldDescriptorProto.Type). */
const SCALAR_WIRE: ReadonlyMap<number, number> = new Map([
  [1, FIXED64],
  [2, FIXED32],
  [6, FIXED64],
  [7, FIXED32],
  [9, BYTES],
  [12, BYTES],
  [15, FIXED32],
  [16, FIXED64],
]);

/** Smaller messages are not walked: none has more pieces than bytes. */
const WALKED_BYTES = 1024;

/** Messages in messages: CRI and NRI have six levels. */
const DEPTH = 32;

/** Bytes of the longest varint, and the largest number of a field (protobuf encoding). */
const VARINT_BYTES = 10;
const LARGEST_FIELD = 2 ** 29 - 1;

/**
 * An upper bound: fields and elements of lists, at every level. Infinity, which exceeds every bound, for bytes that the
 * walk can't follow exactly. The decoder accepts some of these: groups, a message that ends beyond its parent, a value
 * that is not encoded as its field's type. It would continue at another byte than the walk. No real peer sends any of
 * them.
 */
export function messagePieces(schema: MessageDescription, bytes: Uint8Array): number {
  if (bytes.length <= WALKED_BYTES) return bytes.length;
  const walk = new Walk(bytes);
  return walk.message(schema, bytes.length, 0) ? walk.pieces : Infinity;
}

/** The reason of a refusal: the count of `messagePieces`, and the bound that it exceeds. */
export function tooManyPieces(pieces: number, most: number): string {
  return Number.isFinite(pieces) ? `${pieces} fields, more than ${most}` : 'fields that cannot be counted';
}

class Walk {
  pieces = 0;
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** False unless the walk ends exactly at `end`. */
  message(schema: MessageDescription, end: number, depth: number): boolean {
    const fields = fieldsOf(schema);
    while (this.#at < end) {
      const tag = this.#varint();
      const number = Math.floor(tag / 8);
      this.pieces += 1;
      if (!(number >= 1 && number <= LARGEST_FIELD) || !this.#value(fields.get(number), tag % 8, end, depth))
        return false;
    }
    return this.#at === end;
  }

  #value(field: KnownField | undefined, wire: number, end: number, depth: number): boolean {
    // the decoder reads a known field by its type, whatever the wire type
    if (field !== undefined && wire !== field.wire && !(wire === BYTES && field.isPackable)) return false;
    if (wire === VARINT) return !Number.isNaN(this.#varint());
    if (wire === FIXED64) this.#at += 8;
    else if (wire === FIXED32) this.#at += 4;
    else return wire === BYTES && this.#content(field, end, depth);
    return true;
  }

  #content(field: KnownField | undefined, outerEnd: number, depth: number): boolean {
    const end = this.#varint() + this.#at;
    if (!(end <= outerEnd) || depth >= DEPTH) return false;
    if (field?.inner !== undefined) return this.message(field.inner, end, depth + 1);
    if (field?.isPackable === true) return this.#packed(field.wire, end);
    this.#at = end;
    return true;
  }

  /** A list of numbers in one piece (protobuf encoding, "Packed Repeated Fields"). */
  #packed(wire: number, end: number): boolean {
    if (wire !== VARINT) {
      const count = (end - this.#at) / (wire === FIXED64 ? 8 : 4);
      this.pieces += count;
      this.#at = end;
      return Number.isInteger(count);
    }
    // each ends with a byte below 0x80, and so must the last
    const isWhole = this.#at === end || (this.#bytes[end - 1] ?? 0) < 0x80;
    for (; this.#at < end; this.#at += 1) if ((this.#bytes[this.#at] ?? 0) < 0x80) this.pieces += 1;
    return isWhole;
  }

  /** NaN if it is too long. */
  #varint(): number {
    let value = 0;
    let factor = 1;
    for (let count = 0; count < VARINT_BYTES; count += 1) {
      const byte = this.#bytes[this.#at] ?? 0;
      this.#at += 1;
      value += (byte % 0x80) * factor;
      if (byte < 0x80) return value;
      factor *= 0x80;
    }
    return Number.NaN;
  }
}

interface KnownField {
  readonly wire: number;
  /** The message that its content is walked as. */
  readonly inner: MessageDescription | undefined;
  /** A list of numbers, whose elements come one by one or packed. */
  readonly isPackable: boolean;
}

const known = new WeakMap<MessageDescription, ReadonlyMap<number, KnownField>>();

function fieldsOf(schema: MessageDescription): ReadonlyMap<number, KnownField> {
  const found = known.get(schema);
  if (found !== undefined) return found;
  const fields = new Map(schema.fields.map((field) => [field.number, knownField(field)]));
  known.set(schema, fields);
  return fields;
}

function knownField(field: FieldDescription): KnownField {
  const { fieldKind, mapKey, mapKind = '', scalar, message } = field;
  if (fieldKind === 'map') {
    // an entry is a message (protobuf encoding, "Maps")
    const entry = [
      { number: 1, fieldKind: 'scalar', scalar: mapKey },
      { number: 2, fieldKind: mapKind, scalar, message },
    ];
    return { wire: BYTES, inner: { fields: entry }, isPackable: false };
  }
  if (message !== undefined) return { wire: BYTES, inner: message, isPackable: false };
  const wire = SCALAR_WIRE.get(scalar ?? 0) ?? VARINT;
  return { wire, inner: undefined, isPackable: fieldKind === 'list' && wire !== BYTES };
}
