/** Where the files of a tar begin: header after header, the bodies passed over, so that an archive of any size is looked through at once. */
import type { FileHandle } from 'node:fs/promises';
import { fail } from '../../../base/fault.ts';
import { unpackLimits } from '../../bounds.ts';
import { archiveLimits } from '../bounds.ts';
import { isZeroBlock, parseHeader, refuseTar, TAR_BLOCK, textField } from '../../layers/tar-header.ts';
import { shown, type ByteString } from '../../../base/byte-string.ts';
import { paxNumber, parsePax } from '../../layers/tar-pax.ts';
import { plainPath, splitPath, type LayerPath } from '../../layers/unpack-path.ts';

export interface Place {
  /** Bytes from the start of the archive. */
  readonly offset: number;
  readonly size: number;
}

type Entry = Place | { readonly link: LayerPath };

/** The archive's files by plain path; of two of one name the later counts. */
export class TarIndex {
  readonly #entries: ReadonlyMap<LayerPath, Entry>;

  constructor(entries: ReadonlyMap<LayerPath, Entry>) {
    this.#entries = entries;
  }

  /** Old `docker save` writes links to layers that it has written already. */
  file(path: LayerPath): Place | undefined {
    let at = path;
    for (let hop = 0; hop < archiveLimits.links; hop += 1) {
      const entry = this.#entries.get(at);
      if (entry === undefined || !('link' in entry)) return entry;
      at = entry.link;
    }
    return undefined;
  }
}

interface Meta {
  path: ByteString | undefined;
  link: ByteString | undefined;
  size: number | undefined;
}

/** @param what the archive's path, for messages */
export async function indexTar(file: FileHandle, what: string): Promise<TarIndex> {
  const entries = new Map<LayerPath, Entry>();
  const { size: end } = await file.stat();
  let at = 0;
  let meta: Meta = { path: undefined, link: undefined, size: undefined };
  for (let headers = 0; at + TAR_BLOCK <= end; headers += 1) {
    if (headers >= archiveLimits.entries)
      fail('exhausted', `read ${what}: more than ${archiveLimits.entries} entries`);
    const block = await read(file, at, TAR_BLOCK, what);
    if (isZeroBlock(block)) break;
    if (headers === 0) refuseCompressed(block, what);
    const raw = parseHeader(block);
    at += TAR_BLOCK;
    if (raw.flag === 'x' || raw.flag === 'g' || raw.flag === 'L' || raw.flag === 'K') {
      if (raw.size < 0 || raw.size > unpackLimits.metaBytes) refuseTar(`a header of ${raw.size} bytes`);
      meta = withMeta(meta, raw.flag, await read(file, at, raw.size, what));
      at += padded(raw.size);
      continue;
    }
    const size = meta.size ?? raw.size;
    if (size < 0) refuseTar(`${shown(raw.name)} has a negative size`);
    const path = plainPath(meta.path ?? raw.name);
    const entry = entryOf(raw.flag, path, { offset: at, size }, meta.link ?? raw.linkName);
    if (entry !== undefined && path !== '') entries.set(path, entry);
    if (isFile(raw.flag)) at += padded(size);
    meta = { path: undefined, link: undefined, size: undefined };
  }
  if (at > end) fail('outside', `read ${what}: the archive is cut short`);
  return new TarIndex(entries);
}

function refuseCompressed(block: Buffer, what: string): void {
  const isGzip = block.readUInt16BE(0) === 0x1f8b;
  const isZstd = block.readUInt32LE(0) === 0xfd2fb528;
  const isOther =
    block.subarray(0, 3).toString('latin1') === 'BZh' || block.subarray(1, 5).toString('latin1') === '7zXZ';
  if (isGzip || isZstd || isOther)
    fail('outside', `read ${what}: the archive is compressed as a whole; decompress it first`);
}

function isFile(flag: string): boolean {
  return flag === '0' || flag === '\0' || flag === '7';
}

function entryOf(flag: string, path: LayerPath, place: Place, link: ByteString): Entry | undefined {
  if (isFile(flag)) return place;
  if (flag === '1') return { link: plainPath(link) };
  return flag === '2' ? { link: besides(path, link) } : undefined;
}

/** Where a symlink leads, by its text. Out of the archive is to nothing. */
function besides(path: LayerPath, link: ByteString): LayerPath {
  const parts = link.startsWith('/')
    ? []
    : splitPath(path)
        .parent.split('/')
        .filter((part) => part !== '');
  for (const part of link.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

function withMeta(meta: Meta, flag: string, body: Buffer): Meta {
  if (flag === 'L') return { ...meta, path: textField(body, 0, body.length) };
  if (flag === 'K') return { ...meta, link: textField(body, 0, body.length) };
  if (flag === 'g') return meta;
  const next = { ...meta };
  for (const record of parsePax(body)) {
    if (record.key === 'path') next.path = record.value.toString('latin1');
    else if (record.key === 'linkpath') next.link = record.value.toString('latin1');
    else if (record.key === 'size') next.size = paxNumber(record);
    else if (record.key.startsWith('GNU.sparse.')) refuseTar('a file of the archive is stored sparse');
  }
  return next;
}

async function read(file: FileHandle, at: number, bytes: number, what: string): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  let done = 0;
  while (done < bytes) {
    const { bytesRead } = await file.read(buffer, done, bytes - done, at + done);
    if (bytesRead === 0) fail('outside', `read ${what}: the archive is cut short`);
    done += bytesRead;
  }
  return buffer;
}

function padded(bytes: number): number {
  return Math.ceil(bytes / TAR_BLOCK) * TAR_BLOCK;
}
