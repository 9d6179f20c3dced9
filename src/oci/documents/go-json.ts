/** JSON in the form of Go's encoder, for documents whose digest other programs compute, too. */
import type { Json } from './strict-json.ts';

/** Characters that Go escapes as \u although JSON allows them (encoding/json: safe within HTML and JavaScript). */
const ESCAPED = /[<>&\u2028\u2029]/gu;

/** The text without spaces; members in the order of the Map. */
export function goJson(value: Json): string {
  if (value instanceof Map) {
    const members = [...(value as ReadonlyMap<string, Json>)].map(
      ([key, member]) => `${quoted(key)}:${goJson(member)}`,
    );
    return `{${members.join(',')}}`;
  }
  if (Array.isArray(value)) return `[${(value as readonly Json[]).map(goJson).join(',')}]`;
  if (typeof value === 'string') return quoted(value);
  return typeof value === 'bigint' ? value.toString() : JSON.stringify(value);
}

function quoted(text: string): string {
  return JSON.stringify(text).replace(
    ESCAPED,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
