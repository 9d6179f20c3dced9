// A support bundle that somebody has sent.
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { bundleFiles } from '../../../../src/daemon/cli/read-recording.ts';
import { endOfArchive, headerOf } from '../../../../src/oci/images/archive/tar-header-bytes.ts';

const plain = { type: 'file', name: 'flight/a', linkName: '', mode: 0o600, uid: 0, gid: 0 } as const;
const header = (size: number): Buffer =>
  Buffer.from(headerOf({ ...plain, size, mtimeNs: 0n, deviceMajor: 0, deviceMinor: 0, xattrs: [] }));

/** With the size as a number of base 256, which may be negative, and a right checksum. */
function withSize(size: bigint): Buffer {
  const bytes = header(0);
  bytes.fill(size < 0n ? 0xff : 0, 124, 136);
  bytes.writeBigInt64BE(size, 128);
  bytes[124] = size < 0n ? 0xff : 0x80;
  bytes.fill(0x20, 148, 156);
  const sum = bytes.reduce((all, byte) => all + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

const bundle = (...parts: readonly Uint8Array[]): Buffer =>
  gzipSync(Buffer.concat([...parts, endOfArchive()]));

test('a bundle is read file by file, also one that was cut', () => {
  const body = Buffer.alloc(512, 'a');
  expect([...bundleFiles(bundle(header(512), body))]).toEqual([['flight/a', 'a'.repeat(512)]]);
  expect([...bundleFiles(gzipSync(header(512)))]).toEqual([['flight/a', '']]);
});

test('a size that leads back in the archive is refused, not followed for ever', () => {
  expect([...bundleFiles(bundle(withSize(0n)))]).toEqual([['flight/a', '']]);
  expect(() => bundleFiles(bundle(withSize(-512n)))).toThrow(
    'read the support bundle: flight/a has a negative size',
  );
});
