/**
 * Parses as much DER (X.690) as the extensions of a certificate need, which Node does not expose. Returns undefined if
 * malformed.
 */

interface Item {
  readonly tag: number;
  readonly value: Uint8Array;
  /** Offset of the next item. */
  readonly end: number;
}

const SEQUENCE = 0x30;
const OID = 0x06;
const BOOLEAN = 0x01;
const OCTETS = 0x04;
const INTEGER = 0x02;
const UTF8 = 0x0c;
/** `extensions [3]` of TBSCertificate (RFC 5280, 4.1), and `rfc822Name [1]` of GeneralName. */
const EXTENSIONS = 0xa3;
const RFC822_NAME = 0x81;

export interface Extension {
  /** Encoded, in hexadecimal. */
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/** The extensions of a certificate; undefined if one is malformed or occurs twice. */
export function extensionsOf(certificate: Uint8Array): readonly Extension[] | undefined {
  const [whole] = itemsIn(certificate) ?? [];
  const [body] = whole?.tag === SEQUENCE ? (itemsIn(whole.value) ?? []) : [];
  const parts = body?.tag === SEQUENCE ? itemsIn(body.value) : undefined;
  if (parts === undefined) return undefined;
  const wrapped = parts.find(({ tag }) => tag === EXTENSIONS);
  if (wrapped === undefined) return [];
  const items = sequenceIn(wrapped.value);
  const found = (items ?? []).map(extension).filter((one) => one !== undefined);
  return new Set(found.map(({ oid }) => oid)).size === items?.length ? found : undefined;
}

function extension({ tag, value }: Item): Extension | undefined {
  const parts = tag === SEQUENCE ? (itemsIn(value) ?? []) : [];
  const [oid, second, third] = parts;
  const critical = second?.tag === BOOLEAN ? second : undefined;
  const octets = critical === undefined ? second : third;
  if (oid?.tag !== OID || octets?.tag !== OCTETS || parts.length !== (critical === undefined ? 2 : 3))
    return undefined;
  return {
    oid: Buffer.from(oid.value).toString('hex'),
    critical: critical !== undefined && critical.value[0] !== 0,
    value: octets.value,
  };
}

/** The e-mail addresses of a subjectAltName, unchanged; undefined if malformed. */
export function emailsIn(subjectAltName: Uint8Array): readonly string[] | undefined {
  return sequenceIn(subjectAltName)
    ?.filter(({ tag }) => tag === RFC822_NAME)
    .map(({ value }) => Buffer.from(value).toString('latin1'));
}

/** The text, if the bytes are exactly one UTF8String; undefined otherwise. */
export function utf8In(bytes: Uint8Array): string | undefined {
  const items = itemsIn(bytes);
  const [text] = items ?? [];
  if (items?.length !== 1 || text?.tag !== UTF8) return undefined;
  return Buffer.from(text.value).toString('utf8');
}

/** The pathLenConstraint of basicConstraints; Infinity if there is no constraint, undefined if malformed. */
export function pathLengthIn(basicConstraints: Uint8Array): number | undefined {
  const parts = sequenceIn(basicConstraints);
  if (parts === undefined) return undefined;
  const length = parts.find(({ tag }) => tag === INTEGER);
  if (length === undefined) return Number.POSITIVE_INFINITY;
  // one byte, not negative: real chains have three certificates
  return length.value.length === 1 && (length.value[0] ?? 0x80) < 0x80 ? length.value[0] : undefined;
}

/** The items of the SEQUENCE, if the bytes are exactly one; undefined otherwise. */
function sequenceIn(bytes: Uint8Array): readonly Item[] | undefined {
  const items = itemsIn(bytes);
  const [sequence] = items ?? [];
  return items?.length === 1 && sequence?.tag === SEQUENCE ? itemsIn(sequence.value) : undefined;
}

/** All items in the bytes, in order. */
function itemsIn(bytes: Uint8Array): readonly Item[] | undefined {
  const items: Item[] = [];
  for (let at = 0; at < bytes.length;) {
    const item = itemAt(bytes, at);
    if (item === undefined) return undefined;
    items.push(item);
    at = item.end;
  }
  return items;
}

function itemAt(bytes: Uint8Array, at: number): Item | undefined {
  const tag = bytes[at];
  const first = bytes[at + 1];
  // certificates in DER have no multi-byte tags and no indefinite lengths
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f || first === 0x80) return undefined;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (lengthBytes > 4) return undefined;
  let length = lengthBytes === 0 ? first : 0;
  for (const byte of bytes.subarray(at + 2, at + 2 + lengthBytes)) length = length * 256 + byte;
  const begin = at + 2 + lengthBytes;
  const end = begin + length;
  return end > bytes.length ? undefined : { tag, value: bytes.subarray(begin, end), end };
}
