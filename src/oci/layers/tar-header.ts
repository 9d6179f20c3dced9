/**
 * Parses one 512-byte header of a tar archive (POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar
 * Format"). The library tar-stream is not used here: it decodes names and PAX values as UTF-8, which destroys binary
 * xattrs (security.capability) and names in other encodings, rounds times to milliseconds, and does not support sparse
 * files.
 */
import type { ByteString } from '../../base/byte-string.ts';
import { fail } from '../../base/fault.ts';

export const TAR_BLOCK = 512;

export interface RawHeader {
  /** The type flag as one character. */
  readonly flag: string;
  readonly name: ByteString;
  readonly linkName: ByteString;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Seconds since the epoch. */
  readonly mtime: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

/** Throws the Fault for an invalid archive. A retry with the same bytes would fail again. */
export function refuseTar(reason: string): never {
  return fail('outside', `read tar: ${reason}`);
}

/** The bytes up to the first NUL. */
export function textField(block: Uint8Array, offset: number, length: number): ByteString {
  let end = offset;
  while (end < offset + length && block[end] !== 0) end += 1;
  return Buffer.from(block.buffer, block.byteOffset + offset, end - offset).toString('latin1');
}

/**
 * Parses a number: octal digits between spaces and NULs, or, with the top bit set, base 256 in two's complement (GNU).
 * Throws if it is neither, or larger than 2⁵³.
 */
export function numberField(block: Uint8Array, offset: number, length: number, what: string): number {
  const first = block[offset] ?? 0;
  const value = (first & 0x80) === 0 ? octal(block, offset, length) : base256(block, offset, length);
  if (!Number.isSafeInteger(value)) refuseTar(`the header's ${what} is not a number`);
  return value;
}

function octal(block: Uint8Array, offset: number, length: number): number {
  let at = offset;
  const end = offset + length;
  while (at < end && (block[at] === 0x20 || block[at] === 0)) at += 1;
  let value = 0;
  for (; at < end; at += 1) {
    const byte = block[at] ?? 0;
    if (byte === 0 || byte === 0x20) break;
    if (byte < 0x30 || byte > 0x37) return Number.NaN;
    value = value * 8 + (byte - 0x30);
  }
  return value;
}

function base256(block: Uint8Array, offset: number, length: number): number {
  const first = block[offset] ?? 0;
  const negative = (first & 0x40) !== 0;
  // the flag bit is not part of the number, but the sign bit below it is
  let value = negative ? (first & 0x7f) - 0x80 : first & 0x7f;
  for (let at = offset + 1; at < offset + length; at += 1) value = value * 256 + (block[at] ?? 0);
  return value;
}

/** Whether all 512 bytes are zero, which marks the end of the archive. */
export function isZeroBlock(block: Uint8Array): boolean {
  for (let at = 0; at < TAR_BLOCK; at += 1) if (block[at] !== 0) return false;
  return true;
}

/** Parses one header and verifies its checksum. */
export function parseHeader(block: Uint8Array): RawHeader {
  checkSum(block);
  const magic = textField(block, 257, 6);
  // with GNU's magic "ustar ", the prefix field holds times and sparse pieces instead
  const prefix = magic === 'ustar' ? textField(block, 345, 155) : '';
  const name = textField(block, 0, 100);
  return {
    flag: String.fromCharCode(block[156] ?? 0),
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: textField(block, 157, 100),
    mode: numberField(block, 100, 8, 'mode'),
    uid: numberField(block, 108, 8, 'uid'),
    gid: numberField(block, 116, 8, 'gid'),
    size: numberField(block, 124, 12, 'size'),
    mtime: numberField(block, 136, 12, 'mtime'),
    deviceMajor: magic.startsWith('ustar') ? numberField(block, 329, 8, 'device major') : 0,
    deviceMinor: magic.startsWith('ustar') ? numberField(block, 337, 8, 'device minor') : 0,
  };
}

/** Verifies the sum of all bytes, with the checksum field counted as spaces. Old programs summed signed bytes. */
function checkSum(block: Uint8Array): void {
  const stated = numberField(block, 148, 8, 'checksum');
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < TAR_BLOCK; at += 1) {
    const byte = at >= 148 && at < 156 ? 0x20 : (block[at] ?? 0);
    unsigned += byte;
    signed += byte < 0x80 ? byte : byte - 0x100;
  }
  if (stated !== unsigned && stated !== signed) refuseTar('a header has a wrong checksum');
}
