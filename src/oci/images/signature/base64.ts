/** Complete groups of four characters, as Go's StdEncoding requires them. Buffer.from would skip invalid characters. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/u;

/** Decodes a base64 text, ignoring line ends. Returns undefined for any other text. */
export function decodeBase64(text: string): Uint8Array | undefined {
  const joined = text.replaceAll(/[\r\n]/gu, '');
  return BASE64.test(joined) ? new Uint8Array(Buffer.from(joined, 'base64')) : undefined;
}
