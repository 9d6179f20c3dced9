/**
 * Parses the records of a PAX extended header: `LENGTH KEY=VALUE\n`, where LENGTH counts its own digits (POSIX.1-2017
 * pax).
 */
import { refuseTar } from './tar-header.ts';
import type { ByteString } from '../../base/byte-string.ts';

export interface PaxRecord {
  readonly key: ByteString;
  readonly value: Buffer;
}

/** Parses all records in order, since GNU sparse 0.0 repeats keys. Any malformed record refuses the archive. */
export function parsePax(body: Buffer): PaxRecord[] {
  const records: PaxRecord[] = [];
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(0x20, at);
    // a length with more than 8 digits would exceed the bound on the header
    if (space < 0 || space === at || space - at > 8) refuseTar('a PAX record has no length');
    const digits = body.toString('latin1', at, space);
    const end = at + (/^[1-9][0-9]*$/u.test(digits) ? Number(digits) : 0);
    if (end <= space + 1 || end > body.length || body[end - 1] !== 0x0a)
      refuseTar('a PAX record has a wrong length');
    const equals = body.indexOf(0x3d, space + 1);
    if (equals < 0 || equals >= end - 1 || equals === space + 1) refuseTar('a PAX record has no key');
    const key = body.toString('latin1', space + 1, equals);
    if (key.includes('\0')) refuseTar('a PAX record has a NUL byte in its key');
    records.push({ key, value: body.subarray(equals + 1, end - 1) });
    at = end;
  }
  return records;
}

/** Parses a whole number from 0 to 2⁵³. */
export function paxNumber(record: PaxRecord): number {
  const text = record.value.toString('latin1');
  const value = /^[0-9]{1,16}$/u.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) refuseTar(`PAX record ${JSON.stringify(record.key)} is not a number`);
  return value;
}

/** Parses a decimal number of seconds into nanoseconds. Digits after the ninth are dropped. */
export function paxTime(record: PaxRecord): bigint {
  const text = record.value.toString('latin1');
  const match = /^(-?)([0-9]{1,12})(?:\.([0-9]{0,64}))?$/u.exec(text);
  if (match === null) refuseTar(`PAX record ${JSON.stringify(record.key)} is not a time`);
  const fraction = (match[3] ?? '').slice(0, 9).padEnd(9, '0');
  const ns = BigInt(match[2] ?? '0') * 1_000_000_000n + BigInt(fraction);
  return match[1] === '-' ? -ns : ns;
}
