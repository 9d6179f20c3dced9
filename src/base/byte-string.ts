/** Names that the kernel and archives give as bytes, whatever their encoding. */

/** A string with one character (U+0000 to U+00FF) per byte: names in archives are bytes, not text. */
export type ByteString = string;

/** A byte string as text for messages. */
export function shown(name: ByteString): string {
  return JSON.stringify(
    Buffer.from(name.length > 256 ? `${name.slice(0, 256)}…` : name, 'latin1').toString('utf8'),
  );
}
