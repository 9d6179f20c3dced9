/**
 * Makes text safe to show: without characters that change how the rest is read, and without credentials in URLs. Pure.
 */

/**
 * Characters that a terminal or an editor interprets: C0, DEL and C1 (ECMA-48), the marks and overrides of the
 * bidirectional algorithm (UAX #9, table 4), and Unicode's line and paragraph separators.
 */
// eslint-disable-next-line no-control-regex -- matches control characters on purpose
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Escapes them, as in `\u202e`: visible in a line, and the same string if the text is JSON or TOML (S93). */
export function escaped(text: string): string {
  return text.replaceAll(UNSAFE, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The same for several lines; line ends stay. */
export function escapedLines(text: string): string {
  return text.split('\n').map(escaped).join('\n');
}

/** Replaces each run of them by one space, for messages. */
export function withoutUnsafe(text: string): string {
  return text.replaceAll(UNSAFE_RUN, ' ');
}

// eslint-disable-next-line no-control-regex -- matches control characters on purpose
const UNSAFE_RUN = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/gu;

/** `://user:password@`; the length is bounded, since a text may have many beginnings and no end. */
const USERINFO = /:\/\/[^\s/?#"'<>\\]{1,512}@/gu;
/** The query of a URL: registries and object stores put signatures into it when they redirect. */
const QUERY = /(:\/\/(?:(?!:\/\/)[^\s?"'<>\\]){1,2048})\?[^\s"'<>\\]+/gu;
/** `user:password@host` without a scheme. `name:tag@sha256:…` is an image and is left alone. */
const BARE_USERINFO = /(?<![\w.%+~-])[\w.%+~-]{1,128}:[^\s:/@"'<>\\]{1,256}@(?!sha\d)/gu;

/** Removes the credentials of URLs from a text (S92); JSON stays JSON. */
export function withoutCredentials(text: string): string {
  let clean = text;
  if (clean.includes('://')) clean = clean.replaceAll(USERINFO, '://***@').replaceAll(QUERY, '$1?***');
  return clean.includes('@') ? clean.replaceAll(BARE_USERINFO, '***@') : clean;
}
