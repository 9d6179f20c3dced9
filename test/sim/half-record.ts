/** For a planted bug: a journal whose torn last record passes for a whole one. */
import { FRAME_BYTES, HEADER_BYTES, parse, seal } from '../../src/journal/format.ts';

/** The same bytes, the last record closed where it was cut, as a lenient reader would. */
export function closeLastRecord(bytes: Uint8Array): Uint8Array {
  if (bytes.length < HEADER_BYTES) return bytes;
  const { validBytes, end } = parse(bytes);
  if (end === 'whole') return bytes;
  const body = closed(Buffer.from(bytes.subarray(validBytes + FRAME_BYTES)).toString());
  if (body === undefined) return bytes;
  const framed = Buffer.concat([new Uint8Array(FRAME_BYTES), Buffer.from(body)]);
  seal(framed);
  return Buffer.concat([bytes.subarray(0, validBytes), framed]);
}

/** The longest prefix that is a JSON object with a type and an id once its ends are added. */
function closed(text: string): string | undefined {
  for (let length = text.length; length > 0; length -= 1) {
    const ended = `${text.slice(0, length)}${endsOf(text.slice(0, length))}`;
    try {
      const value = JSON.parse(ended) as { readonly type?: unknown; readonly id?: unknown } | null;
      if (typeof value?.type === 'string' && typeof value.id === 'string') return ended;
    } catch {
      // cut within a name or a number
    }
  }
  return undefined;
}

/** Quotes and brackets that are open at the end. */
function endsOf(text: string): string {
  const open: string[] = [];
  let isQuoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const one = text[at];
    if (isQuoted && one === '\\') at += 1;
    else if (one === '"') isQuoted = !isQuoted;
    else if (!isQuoted && one === '{') open.push('}');
    else if (!isQuoted && one === '[') open.push(']');
    else if (!isQuoted && (one === '}' || one === ']')) open.pop();
  }
  return `${isQuoted ? '"' : ''}${open.toReversed().join('')}`;
}
