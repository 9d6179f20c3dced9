/** Decodes the ASCII armor of OpenPGP (RFC 9580, 6), since gpgv reads only binary key rings. No I/O. */
import { decodeBase64 } from './base64.ts';

const BLOCK =
  /^-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\r?\n((?:[A-Za-z]+: [^\n]*\n)*)\r?\n([A-Za-z0-9+/=\r\n]*?)(?:\r?\n=[A-Za-z0-9+/]{4})?\r?\n-----END PGP PUBLIC KEY BLOCK-----/gmu;

/**
 * A key ring in the form that gpgv reads. Binary rings are returned unchanged; the armored blocks of a text are decoded
 * and joined. Returns undefined if a text has no block or a damaged one.
 */
export function keyRing(bytes: Uint8Array): Uint8Array | undefined {
  // the first byte of a packet has its high bit set (RFC 9580, 4.2); a keybox begins with a length
  if ((bytes[0] ?? 0) >= 0x80 || isKeybox(bytes)) return bytes;
  const blocks = [...Buffer.from(bytes).toString('latin1').matchAll(BLOCK)].map(([, , body = '']) =>
    decodeBase64(body),
  );
  const whole = blocks.filter((block) => block !== undefined);
  return whole.length > 0 && whole.length === blocks.length
    ? new Uint8Array(Buffer.concat(whole))
    : undefined;
}

/** Whether this is a keybox, GnuPG's own format since 2.1. */
function isKeybox(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(8, 12)).toString('latin1') === 'KBXf';
}
