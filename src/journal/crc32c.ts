/**
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4). It detects every burst of up to 32 wrong bits, so every single
 * flipped byte.
 */

const POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_value, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc >>> 0;
});

/** The checksum of the bytes, unsigned. Pass the checksum of the bytes before as `before` to continue it. */
export function crc32c(bytes: Uint8Array, before = 0): number {
  let crc = (before ^ 0xffffffff) >>> 0;
  // An index loop: a start reads the whole journal before the JIT compiles this, and an iterator costs five
  // times as much.
  for (let at = 0; at < bytes.length; at += 1)
    crc = (TABLE[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
