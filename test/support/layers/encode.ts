/** Entries of layers as bytes of a tar, in each of the forms that tar programs write: v7, ustar, GNU and PAX. */
import type { Fields } from '../../unit/oci/layers/tar-builder.ts';
import { entry, paxBody } from '../../unit/oci/layers/tar-builder.ts';

export type TarForm = 'v7' | 'ustar' | 'gnu' | 'pax';
export type SparseForm = 'gnu' | 'pax-0.0' | 'pax-0.1' | 'pax-1.0';

/** A run of bytes in a file with holes. */
export interface Piece {
  readonly offset: number;
  readonly bytes: Buffer;
}

export interface LayerEntry {
  readonly flag: '0' | '1' | '2' | '3' | '4' | '5' | '6' | '7';
  /** One character per byte. */
  readonly name: string;
  readonly linkName?: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeNs: bigint;
  readonly body?: Buffer;
  readonly sparse?: { readonly form: SparseForm; readonly size: number; readonly pieces: readonly Piece[] };
  readonly major?: number;
  readonly minor?: number;
  readonly xattrs?: readonly (readonly [string, Buffer])[];
}

const SECOND = 1_000_000_000n;
/** Seven octal digits. */
const HIGHEST_OCTAL_ID = 0o7777777;
/** Eleven octal digits. */
const HIGHEST_OCTAL_TIME = 0o77777777777n;
const NAME_BYTES = 100;
const OLD_PIECES = 4;
const OLD_PIECES_MORE = 21;

/** The form that can say all of it: what GNU's own cannot hold goes into PAX records. */
function formFor(it: LayerEntry, wanted: TarForm): TarForm {
  const needsPax =
    (it.xattrs?.length ?? 0) > 0 ||
    it.mtimeNs % SECOND !== 0n ||
    (it.sparse !== undefined && it.sparse.form !== 'gnu');
  if (needsPax) return 'pax';
  if (it.sparse !== undefined) return 'gnu';
  if (wanted === 'gnu' || wanted === 'pax') return wanted;
  const isPlain =
    it.name.length <= NAME_BYTES &&
    (it.linkName ?? '').length <= NAME_BYTES &&
    it.uid <= HIGHEST_OCTAL_ID &&
    it.gid <= HIGHEST_OCTAL_ID &&
    it.mtimeNs >= 0n &&
    it.mtimeNs / SECOND <= HIGHEST_OCTAL_TIME;
  // v7 knows neither devices nor FIFOs
  return isPlain && (wanted === 'ustar' || !['3', '4', '6', '7'].includes(it.flag)) ? wanted : 'pax';
}

/** One entry with all headers that belong to it. */
export function encodeEntry(it: LayerEntry, wanted: TarForm): Buffer {
  const form = formFor(it, wanted);
  return form === 'gnu'
    ? encodeGnu(it)
    : form === 'pax'
      ? encodePax(it)
      : entry(form === 'v7' ? v7Fields(it) : plainFields(it));
}

function plainFields(it: LayerEntry): Fields {
  const seconds = Number(it.mtimeNs / SECOND);
  return {
    name: it.name.slice(0, NAME_BYTES),
    flag: it.flag,
    mode: it.mode,
    uid: it.uid <= HIGHEST_OCTAL_ID ? it.uid : 0,
    gid: it.gid <= HIGHEST_OCTAL_ID ? it.gid : 0,
    mtime: seconds >= 0 && BigInt(seconds) <= HIGHEST_OCTAL_TIME ? seconds : 0,
    linkName: (it.linkName ?? '').slice(0, NAME_BYTES),
    major: it.major ?? 0,
    minor: it.minor ?? 0,
    body: it.body ?? '',
  };
}

/** Older than POSIX: no magic, no type for directories but the slash at the end of the name. */
function v7Fields(it: LayerEntry): Fields {
  const flag = it.flag === '5' || it.flag === '0' ? '\0' : it.flag;
  const name = it.flag === '5' && !it.name.endsWith('/') ? `${it.name}/`.slice(0, NAME_BYTES) : it.name;
  return { ...plainFields(it), name, flag, patch: (header) => void header.fill(0, 257, 512) };
}

/** Two's complement over the whole field, its top bit set (GNU tar manual, "Extensions"). */
function base256(header: Buffer, offset: number, length: number, value: bigint): void {
  let rest = BigInt.asUintN(length * 8, value);
  for (let at = offset + length - 1; at >= offset; at -= 1) {
    header[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  header[offset] = (header[offset] ?? 0) | 0x80;
}

function gnuHeader(it: LayerEntry): (header: Buffer) => void {
  return (header) => {
    header.write('ustar  \0', 257, 8, 'latin1');
    // the area of ustar's prefix holds other things here
    header.fill(0, 345, 512);
    if (it.uid > HIGHEST_OCTAL_ID) base256(header, 108, 8, BigInt(it.uid));
    if (it.gid > HIGHEST_OCTAL_ID) base256(header, 116, 8, BigInt(it.gid));
    const seconds = it.mtimeNs / SECOND;
    if (seconds < 0n || seconds > HIGHEST_OCTAL_TIME) base256(header, 136, 12, seconds);
  };
}

function longName(flag: 'L' | 'K', name: string): Buffer {
  if (name.length <= NAME_BYTES) return Buffer.alloc(0);
  return entry({
    name: '././@LongLink',
    flag,
    body: `${name}\0`,
    patch: (header) => void header.write('ustar  \0', 257, 8, 'latin1'),
  });
}

function encodeGnu(it: LayerEntry): Buffer {
  const before = [longName('L', it.name), longName('K', it.linkName ?? '')];
  if (it.sparse === undefined)
    return Buffer.concat([...before, entry({ ...plainFields(it), patch: gnuHeader(it) })]);
  return Buffer.concat([...before, oldSparse(it, it.sparse)]);
}

/** GNU's old form: four pieces in the header, more in blocks behind it. */
function oldSparse(it: LayerEntry, { pieces, size }: NonNullable<LayerEntry['sparse']>): Buffer {
  const body = Buffer.concat(pieces.map((piece) => piece.bytes));
  const patch = gnuHeader(it);
  const header = entry({
    ...plainFields(it),
    flag: 'S',
    body: '',
    size: body.length,
    patch: (block) => {
      patch(block);
      writePieces(block, 386, pieces.slice(0, OLD_PIECES));
      block[482] = pieces.length > OLD_PIECES ? 1 : 0;
      block.write(octal12(size), 483, 12, 'latin1');
    },
  });
  const more: Buffer[] = [];
  for (let at = OLD_PIECES; at < pieces.length; at += OLD_PIECES_MORE) {
    const block = Buffer.alloc(512);
    writePieces(block, 0, pieces.slice(at, at + OLD_PIECES_MORE));
    block[504] = at + OLD_PIECES_MORE < pieces.length ? 1 : 0;
    more.push(block);
  }
  return Buffer.concat([header, ...more, padded(body)]);
}

const octal12 = (value: number): string => `${value.toString(8).padStart(11, '0')}\0`;

function writePieces(block: Buffer, offset: number, pieces: readonly Piece[]): void {
  for (const [at, piece] of pieces.entries()) {
    block.write(octal12(piece.offset), offset + at * 24, 12, 'latin1');
    block.write(octal12(piece.bytes.length), offset + at * 24 + 12, 12, 'latin1');
  }
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

/** Seconds with nine digits, as GNU tar writes them. */
function paxTimeText(ns: bigint): string {
  const magnitude = ns < 0n ? -ns : ns;
  const fraction = String(magnitude % SECOND).padStart(9, '0');
  return `${ns < 0n ? '-' : ''}${magnitude / SECOND}${magnitude % SECOND === 0n ? '' : `.${fraction}`}`;
}

function encodePax(it: LayerEntry): Buffer {
  const records: [string, string][] = [];
  if (it.name.length > NAME_BYTES) records.push(['path', it.name]);
  if ((it.linkName ?? '').length > NAME_BYTES) records.push(['linkpath', it.linkName ?? '']);
  if (it.uid > HIGHEST_OCTAL_ID) records.push(['uid', String(it.uid)]);
  if (it.gid > HIGHEST_OCTAL_ID) records.push(['gid', String(it.gid)]);
  const seconds = it.mtimeNs / SECOND;
  if (it.mtimeNs % SECOND !== 0n || seconds < 0n || seconds > HIGHEST_OCTAL_TIME)
    records.push(['mtime', paxTimeText(it.mtimeNs)]);
  for (const [name, value] of it.xattrs ?? [])
    records.push([`SCHILY.xattr.${name}`, value.toString('latin1')]);
  const fields = plainFields(it);
  if (it.sparse === undefined) return Buffer.concat([paxHeader(records), entry(fields)]);
  const { form, size, pieces } = it.sparse;
  const bytes = Buffer.concat(pieces.map((piece) => piece.bytes));
  if (form !== 'pax-1.0') {
    return Buffer.concat([
      paxHeader([...records, ...sparse0Records(it, form)]),
      entry({ ...fields, body: bytes }),
    ]);
  }
  const name = records.filter(([key]) => key !== 'path');
  const marks: [string, string][] = [
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', it.name],
    ['GNU.sparse.realsize', String(size)],
  ];
  const map = padded(
    Buffer.from(
      [pieces.length, ...pieces.flatMap((piece) => [piece.offset, piece.bytes.length])]
        .map((n) => `${n}\n`)
        .join(''),
    ),
  );
  return Buffer.concat([
    paxHeader([...name, ...marks]),
    entry({ ...fields, name: 'GNUSparseFile.0/x', body: Buffer.concat([map, bytes]) }),
  ]);
}

function sparse0Records(it: LayerEntry, form: SparseForm): [string, string][] {
  const { size = 0, pieces = [] } = it.sparse ?? {};
  const head: [string, string][] = [
    ['GNU.sparse.size', String(size)],
    ['GNU.sparse.numblocks', String(pieces.length)],
  ];
  if (form === 'pax-0.0') {
    return [
      ...head,
      ...pieces.flatMap((piece): [string, string][] => [
        ['GNU.sparse.offset', String(piece.offset)],
        ['GNU.sparse.numbytes', String(piece.bytes.length)],
      ]),
    ];
  }
  const map = pieces.map((piece) => `${piece.offset},${piece.bytes.length}`).join(',');
  return [...head, ['GNU.sparse.name', it.name], ['GNU.sparse.map', map]];
}

function paxHeader(records: readonly (readonly [string, string])[]): Buffer {
  if (records.length === 0) return Buffer.alloc(0);
  return entry({ name: 'PaxHeaders/x', flag: 'x', body: paxBody(records) });
}
