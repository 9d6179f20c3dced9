/** Converts bytes to text, for values that can only be stored as text. Pure. */

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** The replacement character (Unicode, chapter 3, U+FFFD). */
const REPLACEMENT = '\ufffd';

/**
 * Decodes UTF-8; each invalid byte becomes one U+FFFD. Go does the same, so both peers write the same text into
 * config.json: pods that share a secret of random bytes have the same value on every node (kubernetes#139132).
 */
export function textOfBytes(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return replaced(bytes);
  }
}

function replaced(bytes: Uint8Array): string {
  let text = '';
  let from = 0;
  for (let at = 0; at < bytes.length;) {
    const length = characterBytes(bytes, at);
    if (length > 0) {
      at += length;
      continue;
    }
    if (at > from) text += utf8.decode(bytes.subarray(from, at));
    text += REPLACEMENT;
    at += 1;
    from = at;
  }
  return text + utf8.decode(bytes.subarray(from));
}

/**
 * Length in bytes of the character at `at`; 0 when it is invalid. The valid second bytes are those of RFC 3629, section
 * 4.
 */
function characterBytes(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0;
  const length = lengthBy(first);
  for (let next = 1; next < length; next += 1) {
    const byte = bytes[at + next] ?? 0;
    const [least, most] = next === 1 ? secondBytes(first) : [0x80, 0xbf];
    if (byte < least || byte > most) return 0;
  }
  return length;
}

function lengthBy(first: number): number {
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}

/** The range of second bytes: it excludes overlong forms, surrogates and code points above U+10FFFF. */
function secondBytes(first: number): readonly [least: number, most: number] {
  if (first === 0xe0) return [0xa0, 0xbf];
  if (first === 0xed) return [0x80, 0x9f];
  if (first === 0xf0) return [0x90, 0xbf];
  return first === 0xf4 ? [0x80, 0x8f] : [0x80, 0xbf];
}
