/** Whole groups of four, as Go's StdEncoding takes them: Buffer.from skips what is none. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/u;

/** The bytes of a base64 text, line ends within it dropped; undefined for any other text. */
export function decodeBase64(text: string): Uint8Array | undefined {
  const joined = text.replaceAll(/[\r\n]/gu, '');
  return BASE64.test(joined) ? new Uint8Array(Buffer.from(joined, 'base64')) : undefined;
}
