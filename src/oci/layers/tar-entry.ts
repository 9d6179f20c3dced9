/** Combines a tar header with the extension records before it into one entry. */
import { fail } from '../../base/fault.ts';
import { unpackLimits } from '../bounds.ts';
import type { RawHeader } from './tar-header.ts';
import type { ByteString } from '../../base/byte-string.ts';
import { refuseTar } from './tar-header.ts';
import { shown } from '../../base/byte-string.ts';
import type { PaxRecord } from './tar-pax.ts';
import { paxNumber, paxTime } from './tar-pax.ts';
import type { SparsePiece } from './tar-sparse.ts';
import { pieces00, pieces01 } from './tar-sparse.ts';

export type EntryType = 'file' | 'hardLink' | 'symlink' | 'character' | 'block' | 'directory' | 'fifo';

export interface TarEntry {
  readonly type: EntryType;
  /** As in the archive: not checked, may be absolute or contain `..`. */
  readonly name: ByteString;
  readonly linkName: ByteString;
  /** The twelve permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Apparent bytes of a file; 0 for all others. */
  readonly size: number;
  /** Whether the file has holes. */
  readonly sparse: boolean;
  readonly mtimeNs: bigint;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly xattrs: readonly { readonly name: ByteString; readonly value: Buffer }[];
}

/** Extension records before a header: PAX records or GNU long names. */
export interface EntryMeta {
  pax: readonly PaxRecord[];
  longName: ByteString | undefined;
  longLink: ByteString | undefined;
}

/** An entry, and where its bytes are in the archive. */
export interface Described {
  readonly entry: TarEntry;
  /** Bytes in the archive, without padding. */
  readonly storedBytes: number;
  /** The sparse map, if the headers have it. Undefined: the file is not sparse, or `mapInData` is true. */
  readonly pieces: SparsePiece[] | undefined;
  /** Whether the data starts with the sparse map (PAX 1.0). */
  readonly mapInData: boolean;
}

const TYPES: Readonly<Record<string, EntryType>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardLink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

const XATTR = 'SCHILY.xattr.';
/** The highest valid id: chown(2) takes (uid_t) −1 as "do not change". */
const HIGHEST_ID = 2 ** 32 - 2;
const MAX_MAJOR = 2 ** 12 - 1;
const MAX_MINOR = 2 ** 20 - 1;

/** Combines header and records, and checks every number. `oldMap` is the sparse map of an old GNU header. */
export function describeEntry(
  raw: RawHeader,
  meta: EntryMeta,
  oldMap: { pieces: SparsePiece[]; realSize: number } | undefined,
): Described {
  const pax = new Map<ByteString, PaxRecord>();
  // an empty value removes the record (POSIX pax), but an xattr may be empty; the last record of a key counts
  for (const record of meta.pax) {
    if (record.value.length === 0 && !record.key.startsWith(XATTR)) pax.delete(record.key);
    else pax.set(record.key, record);
  }
  const sparse =
    oldMap === undefined ? paxSparse(meta.pax, pax) : { ...oldMap, name: undefined, mapInData: false };
  const name = sparse?.name ?? pathOf(pax, 'path') ?? meta.longName ?? raw.name;
  const type = typeOf(raw.flag, name);
  const isFile = type === 'file';
  const stored = number(pax, 'size') ?? raw.size;
  if (stored < 0) refuseTar(`${shown(name)} has a negative size`);
  if (sparse !== undefined && !isFile) refuseTar(`${shown(name)} has a sparse map and is not a file`);
  // only files have a body: in some archives a link's size is that of its target; Go's archive/tar, which the peers
  // use, takes the size of links as 0, too
  const storedBytes = isFile ? stored : 0;
  const size = isFile ? (sparse?.realSize ?? stored) : 0;
  if (size > unpackLimits.fileBytes || size < 0) {
    fail(
      'exhausted',
      `read tar: ${shown(name)} states a size of ${size} bytes, more than the ${unpackLimits.fileBytes} allowed`,
      { retryable: false },
    );
  }
  const entry: TarEntry = {
    type,
    name,
    linkName: pathOf(pax, 'linkpath') ?? meta.longLink ?? raw.linkName,
    mode: raw.mode & 0o7777,
    uid: idOf(number(pax, 'uid') ?? raw.uid, name, 'uid'),
    gid: idOf(number(pax, 'gid') ?? raw.gid, name, 'gid'),
    size,
    sparse: sparse !== undefined,
    mtimeNs: time(pax, 'mtime') ?? BigInt(raw.mtime) * 1_000_000_000n,
    ...deviceOf(raw, type, name),
    xattrs: xattrsOf(pax, name),
  };
  return { entry, storedBytes, pieces: sparse?.pieces, mapInData: sparse?.mapInData ?? false };
}

function typeOf(flag: string, name: ByteString): EntryType {
  const type = TYPES[flag];
  if (type === undefined) refuseTar(`${shown(name)} has the unknown type ${JSON.stringify(flag)}`);
  // pre-POSIX archives have no type for directories and mark them by a trailing slash
  return type === 'file' && (flag === '\0' || flag === '0') && name.endsWith('/') ? 'directory' : type;
}

function number(pax: ReadonlyMap<ByteString, PaxRecord>, key: string): number | undefined {
  const record = pax.get(key);
  return record === undefined ? undefined : paxNumber(record);
}

function time(pax: ReadonlyMap<ByteString, PaxRecord>, key: string): bigint | undefined {
  const record = pax.get(key);
  return record === undefined ? undefined : paxTime(record);
}

function pathOf(pax: ReadonlyMap<ByteString, PaxRecord>, key: string): ByteString | undefined {
  const path = pax.get(key)?.value.toString('latin1');
  if (path?.includes('\0') === true) refuseTar(`PAX record ${JSON.stringify(key)} contains a NUL byte`);
  return path;
}

function idOf(value: number, name: ByteString, what: string): number {
  if (value < 0 || value > HIGHEST_ID)
    refuseTar(`${shown(name)} has the ${what} ${value}, which is not a valid id`);
  return value;
}

function deviceOf(
  raw: RawHeader,
  type: EntryType,
  name: ByteString,
): { deviceMajor: number; deviceMinor: number } {
  if (type !== 'character' && type !== 'block') return { deviceMajor: 0, deviceMinor: 0 };
  const { deviceMajor, deviceMinor } = raw;
  if (deviceMajor < 0 || deviceMajor > MAX_MAJOR || deviceMinor < 0 || deviceMinor > MAX_MINOR) {
    refuseTar(`${shown(name)} is device ${deviceMajor}:${deviceMinor}, which is not a valid device number`);
  }
  return { deviceMajor, deviceMinor };
}

function xattrsOf(pax: ReadonlyMap<ByteString, PaxRecord>, name: ByteString): TarEntry['xattrs'] {
  const xattrs: { name: ByteString; value: Buffer }[] = [];
  for (const [key, record] of pax) {
    if (!key.startsWith(XATTR)) continue;
    if (record.value.length > unpackLimits.xattrBytes)
      refuseTar(`${shown(name)} has an xattr of ${record.value.length} bytes`);
    // copy: the record's bytes are a view of a buffer that the reader uses again
    xattrs.push({ name: key.slice(XATTR.length), value: Buffer.from(record.value) });
  }
  return xattrs;
}

interface PaxSparse {
  readonly pieces: SparsePiece[] | undefined;
  readonly realSize: number;
  readonly name: ByteString | undefined;
  readonly mapInData: boolean;
}

function paxSparse(
  records: readonly PaxRecord[],
  pax: ReadonlyMap<ByteString, PaxRecord>,
): PaxSparse | undefined {
  const name = pathOf(pax, 'GNU.sparse.name');
  const major = number(pax, 'GNU.sparse.major');
  const minor = number(pax, 'GNU.sparse.minor');
  const realSize = number(pax, 'GNU.sparse.realsize') ?? number(pax, 'GNU.sparse.size');
  if (major !== undefined && (major > 1 || (major === 1 && minor !== 0)))
    refuseTar(`a sparse file has the unknown version ${major}`);
  const map = pax.get('GNU.sparse.map');
  const isSparse = major === 1 || map !== undefined || pax.has('GNU.sparse.numblocks');
  if (!isSparse) return undefined;
  if (realSize === undefined) refuseTar('a sparse file has no size');
  if (major === 1) return { pieces: undefined, realSize, name, mapInData: true };
  return { pieces: map === undefined ? pieces00(records) : pieces01(map), realSize, name, mapInData: false };
}
