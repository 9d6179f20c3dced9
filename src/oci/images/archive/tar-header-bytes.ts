/**
 * Writes tar headers: ustar (POSIX.1-2017), with PAX records for values that do not fit, so that every tar program and
 * Go's archive/tar can read them. The same entry always gives the same bytes.
 */
import type { TarEntry } from '../../layers/tar-entry.ts';
import { TAR_BLOCK } from '../../layers/tar-header.ts';
import { type ByteString } from '../../../base/byte-string.ts';
import type { SparsePiece } from '../../layers/tar-sparse.ts';

/** An entry to write. `pieces`: the ranges of a sparse file that hold data. */
export interface WrittenEntry extends Omit<TarEntry, 'sparse'> {
  readonly pieces?: readonly SparsePiece[];
}

const FLAGS: Readonly<Record<TarEntry['type'], string>> = {
  file: '0',
  hardLink: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};
const NAME_BYTES = 100;
const MOST_7 = 0o7777777;
const MOST_11 = 0o77777777777;
const SECOND = 1_000_000_000n;

/** The header blocks of an entry, followed by the map of data ranges for a sparse file. */
export function headerOf(entry: WrittenEntry): Buffer {
  const map = entry.pieces === undefined ? undefined : sparseMap(entry.pieces);
  const stored = storedBytes(entry, map);
  const records = paxRecords(entry, stored);
  const name = map === undefined ? entry.name : `GNUSparseFile.0/${entry.name.split('/').at(-1) ?? ''}`;
  const parts = [
    block({ ...entry, name: fitting(name), linkName: fitting(entry.linkName) }, FLAGS[entry.type], stored),
  ];
  if (records.length > 0) {
    const body = Buffer.concat(records);
    const head = {
      ...entry,
      name: fitting(`PaxHeaders.0/${entry.name.split('/').findLast((part) => part !== '') ?? ''}`),
      linkName: '',
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtimeNs: 0n,
      deviceMajor: 0,
      deviceMinor: 0,
    };
    parts.unshift(block(head, 'x', body.length), padded(body));
  }
  return map === undefined ? Buffer.concat(parts) : Buffer.concat([...parts, map]);
}

/** The zeros that fill the last block after a body of `bytes` bytes. */
export function paddingAfter(bytes: number): Buffer {
  return Buffer.alloc((TAR_BLOCK - (bytes % TAR_BLOCK)) % TAR_BLOCK);
}

/** The two blocks of zeros that end an archive. */
export function endOfArchive(): Buffer {
  return Buffer.alloc(2 * TAR_BLOCK);
}

function storedBytes({ type, size, pieces }: WrittenEntry, map: Buffer | undefined): number {
  if (type !== 'file') return 0;
  return map === undefined ? size : map.length + (pieces ?? []).reduce((sum, piece) => sum + piece.length, 0);
}

/**
 * The map of GNU tar's sparse format 1.0 (manual, "Storing Sparse Files"). An empty last piece marks a hole at the end.
 */
function sparseMap(pieces: readonly SparsePiece[]): Buffer {
  const lines = [pieces.length, ...pieces.flatMap(({ offset, length }) => [offset, length])];
  return padded(Buffer.from(`${lines.join('\n')}\n`));
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, paddingAfter(bytes.length)]);
}

function paxRecords(entry: WrittenEntry, stored: number): Buffer[] {
  const records = new Map<string, Buffer>();
  const text = (key: string, value: string): void => void records.set(key, Buffer.from(value, 'latin1'));
  if (entry.pieces !== undefined) {
    text('GNU.sparse.major', '1');
    text('GNU.sparse.minor', '0');
    text('GNU.sparse.name', entry.name);
    text('GNU.sparse.realsize', String(entry.size));
  } else if (!fits(entry.name)) text('path', entry.name);
  if (!fits(entry.linkName)) text('linkpath', entry.linkName);
  if (entry.uid > MOST_7) text('uid', String(entry.uid));
  if (entry.gid > MOST_7) text('gid', String(entry.gid));
  if (stored > MOST_11) text('size', String(stored));
  if (entry.mtimeNs < 0n || entry.mtimeNs % SECOND !== 0n || entry.mtimeNs / SECOND > BigInt(MOST_11))
    text('mtime', secondsOf(entry.mtimeNs));
  for (const { name, value } of entry.xattrs) records.set(`SCHILY.xattr.${name}`, value);
  return [...records].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => record(key, value));
}

/** `LENGTH KEY=VALUE\n`; the length counts its own digits. */
function record(key: ByteString, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), value, Buffer.from('\n')]);
  let digits = 1;
  while (String(rest.length + digits).length > digits) digits += 1;
  return Buffer.concat([Buffer.from(String(rest.length + digits)), rest]);
}

function secondsOf(ns: bigint): string {
  const whole = ns < 0n ? -ns : ns;
  const fraction = String(whole % SECOND)
    .padStart(9, '0')
    .replace(/0+$/u, '');
  return `${ns < 0n ? '-' : ''}${whole / SECOND}${fraction === '' ? '' : `.${fraction}`}`;
}

/**
 * Whether a name fits the ustar field. Readers decode bytes beyond ASCII there differently, so such names go into a
 * record.
 */
function fits(name: ByteString): boolean {
  return name.length <= NAME_BYTES && /^[\u0020-\u007e]*$/u.test(name);
}

function fitting(name: ByteString): ByteString {
  return name.replaceAll(/[^\u0020-\u007e]/gu, '_').slice(0, NAME_BYTES);
}

function block(entry: WrittenEntry, flag: string, size: number): Buffer {
  const bytes = Buffer.alloc(TAR_BLOCK);
  const put = (text: string, at: number): void => void bytes.write(text, at, 'latin1');
  const octal = (value: number, at: number, digits: number): void =>
    put(value.toString(8).padStart(digits, '0'), at);
  const seconds = entry.mtimeNs / SECOND;
  put(entry.name, 0);
  octal(entry.mode, 100, 7);
  octal(Math.min(entry.uid, MOST_7), 108, 7);
  octal(Math.min(entry.gid, MOST_7), 116, 7);
  octal(Math.min(size, MOST_11), 124, 11);
  octal(seconds < 0n ? 0 : Math.min(Number(seconds), MOST_11), 136, 11);
  bytes.fill(' ', 148, 156);
  put(flag, 156);
  put(entry.linkName, 157);
  put('ustar\0' + '00', 257);
  octal(entry.deviceMajor, 329, 7);
  octal(entry.deviceMinor, 337, 7);
  octal(
    bytes.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  );
  bytes[154] = 0;
  return bytes;
}
