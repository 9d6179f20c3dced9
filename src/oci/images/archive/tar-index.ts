/** Indexes a tar by reading its headers and skipping the bodies, so that even a large archive is indexed quickly. */
import type { FileHandle } from 'node:fs/promises';
import { fail } from '../../../base/fault.ts';
import { unpackLimits } from '../../bounds.ts';
import { archiveLimits } from '../bounds.ts';
import { isZeroBlock, parseHeader, refuseTar, TAR_BLOCK, textField } from '../../layers/tar-header.ts';
import { shown, type ByteString } from '../../../base/byte-string.ts';
import { paxNumber, parsePax } from '../../layers/tar-pax.ts';
import { plainPath, splitPath, type LayerPath } from '../../layers/unpack-path.ts';

/** Where a file's bytes lie in the archive. */
export interface TarExtent {
  /** Bytes from the start of the archive. */
  readonly offset: number;
  readonly size: number;
}

type Entry = TarExtent | { readonly link: LayerPath };

/** The archive's files by path. Of two entries with the same path the later one counts. */
export class TarIndex {
  readonly #entries: ReadonlyMap<LayerPath, Entry>;

  constructor(entries: ReadonlyMap<LayerPath, Entry>) {
    this.#entries = entries;
  }

  /** Finds a file, following links: old versions of `docker save` link to layers that occur earlier in the archive. */
  file(path: LayerPath): TarExtent | undefined {
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
      if (raw.size < 0 || raw.size > unpackLimits.metaBytes)
        refuseTar(`an extension header has ${raw.size} bytes`);
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
  if (at > end) fail('outside', `read ${what}: the archive is truncated`);
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

function entryOf(flag: string, path: LayerPath, extent: TarExtent, link: ByteString): Entry | undefined {
  if (isFile(flag)) return extent;
  if (flag === '1') return { link: plainPath(link) };
  return flag === '2' ? { link: resolveLink(path, link) } : undefined;
}

/** Resolves a symlink by its text alone. `..` at the top of the archive is dropped, so no link leads out of it. */
function resolveLink(path: LayerPath, link: ByteString): LayerPath {
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
    else if (record.key.startsWith('GNU.sparse.'))
      refuseTar('the archive stores a file in a sparse format, which import does not support');
  }
  return next;
}

async function read(file: FileHandle, at: number, bytes: number, what: string): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  let done = 0;
  while (done < bytes) {
    const { bytesRead } = await file.read(buffer, done, bytes - done, at + done);
    if (bytesRead === 0) fail('outside', `read ${what}: the archive is truncated`);
    done += bytesRead;
  }
  return buffer;
}

function padded(bytes: number): number {
  return Math.ceil(bytes / TAR_BLOCK) * TAR_BLOCK;
}
