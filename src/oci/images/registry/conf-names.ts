/** Checks and normalises the names of registries and images in registries.conf. */
import { parseHost, parseRawReference } from '../model/reference.ts';

/** Whether the text is an image name without tag and digest, with or without a host as `withHost` requires. */
export function isImageName(text: string, withHost: boolean): boolean {
  try {
    const raw = parseRawReference(text);
    return (raw.host !== undefined) === withHost && raw.tag === undefined && raw.digest === undefined;
  } catch {
    return false;
  }
}

/** Whether the text is `host[:port][/path]`. A prefix may also have a tag or digest; a location may not. */
export function isLocation(text: string, mayBeTagged: boolean): boolean {
  const slash = text.indexOf('/');
  if (parseHost(slash < 0 ? text : text.slice(0, slash)) === undefined) return false;
  if (slash < 0) return true;
  const path = `host.invalid${text.slice(slash)}`;
  return mayBeTagged ? isReference(path) : isImageName(path, true);
}

function isReference(text: string): boolean {
  try {
    parseRawReference(text);
    return true;
  } catch {
    return false;
  }
}

/** Normalises the host, so that prefixes can be compared as texts. */
export function canonicalLocation(text: string): string {
  if (text.startsWith('*.')) return text.toLowerCase();
  const slash = text.indexOf('/');
  const host = slash < 0 ? text : text.slice(0, slash);
  return `${parseHost(host) ?? host}${slash < 0 ? '' : text.slice(slash)}`;
}
