/** Names of registries and images as registries.conf writes them. */
import { parseHost, parseRawReference } from '../model/reference.ts';

/** A name without tag and digest; with or without a host. */
export function isName(text: string, withHost: boolean): boolean {
  try {
    const raw = parseRawReference(text);
    return (raw.host !== undefined) === withHost && raw.tag === undefined && raw.digest === undefined;
  } catch {
    return false;
  }
}

/** A prefix may name one image with its tag or digest; a location may not. */
export function isPlace(text: string, mayBeTagged: boolean): boolean {
  const slash = text.indexOf('/');
  if (parseHost(slash < 0 ? text : text.slice(0, slash)) === undefined) return false;
  if (slash < 0) return true;
  const path = `place.invalid${text.slice(slash)}`;
  return mayBeTagged ? isReference(path) : isName(path, true);
}

function isReference(text: string): boolean {
  try {
    parseRawReference(text);
    return true;
  } catch {
    return false;
  }
}

/** The host in its one written form, so that prefixes compare as texts. */
export function canonicalPlace(text: string): string {
  if (text.startsWith('*.')) return text.toLowerCase();
  const slash = text.indexOf('/');
  const host = slash < 0 ? text : text.slice(0, slash);
  return `${parseHost(host) ?? host}${slash < 0 ? '' : text.slice(slash)}`;
}
