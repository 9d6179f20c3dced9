/** Archives made byte by byte, so that tests can say what no tar program would write. */
import { createHash } from 'node:crypto';
import type { Digest } from '../../../../src/base/ids.ts';

export interface Fields {
  readonly name: string;
  readonly flag?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** What the header says; the body's length where it is not given. */
  readonly size?: number;
  readonly mtime?: number;
  readonly linkName?: string;
  readonly major?: number;
  readonly minor?: number;
  readonly body?: Uint8Array | string;
  readonly prefix?: string;
  /** Overwrites bytes of the header before the checksum is made. */
  readonly patch?: (header: Buffer) => void;
}

/** One entry: header, body, padding. Names are taken as bytes (latin1). */
export function entry(fields: Fields): Buffer {
  const body = bytesOf(fields.body ?? '');
  const header = Buffer.alloc(512);
  header.write(fields.name, 0, 100, 'latin1');
  octal(header, 100, 8, fields.mode ?? 0o644);
  octal(header, 108, 8, fields.uid ?? 0);
  octal(header, 116, 8, fields.gid ?? 0);
  octal(header, 124, 12, fields.size ?? body.length);
  octal(header, 136, 12, fields.mtime ?? 1_700_000_000);
  header.write(fields.flag ?? '0', 156, 1, 'latin1');
  header.write(fields.linkName ?? '', 157, 100, 'latin1');
  header.write('ustar\x0000', 257, 8, 'latin1');
  octal(header, 329, 8, fields.major ?? 0);
  octal(header, 337, 8, fields.minor ?? 0);
  header.write(fields.prefix ?? '', 345, 155, 'latin1');
  fields.patch?.(header);
  checksum(header);
  return Buffer.concat([header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

export function checksum(header: Buffer): void {
  header.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1');
}

function octal(header: Buffer, offset: number, length: number, value: number): void {
  header.write(value.toString(8).padStart(length - 1, '0'), offset, length - 1, 'latin1');
}

function bytesOf(body: Uint8Array | string): Buffer {
  return typeof body === 'string' ? Buffer.from(body, 'latin1') : Buffer.from(body);
}

/** The body of a PAX header; values as bytes (latin1) or buffers. */
export function paxBody(
  records: Readonly<Record<string, string | Buffer>> | readonly (readonly [string, string])[],
): Buffer {
  const list: readonly (readonly [string, string | Buffer])[] = Array.isArray(records)
    ? records
    : Object.entries(records);
  return Buffer.concat(
    list.map(([key, value]) => {
      const tail = Buffer.concat([
        Buffer.from(` ${key}=`, 'latin1'),
        typeof value === 'string' ? Buffer.from(value, 'latin1') : value,
        Buffer.from('\n'),
      ]);
      let length = tail.length + 1;
      while (String(length).length + tail.length !== length) length += 1;
      return Buffer.concat([Buffer.from(String(length)), tail]);
    }),
  );
}

/** An entry behind a PAX header with these records. */
export function paxEntry(records: Parameters<typeof paxBody>[0], fields: Fields): Buffer {
  return Buffer.concat([entry({ name: 'PaxHeaders/x', flag: 'x', body: paxBody(records) }), entry(fields)]);
}

/** A whole archive with its end. */
export function archive(...parts: readonly Buffer[]): Buffer {
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;
}
