/**
 * Writes the tar of a layer from its unpacked tree, because blobs are deleted after a pull. The same tree always gives
 * the same bytes: entries are sorted by name, and whiteouts, opaque directories, hard links, holes and attributes are
 * written as OCI layers have them. The order and headers of the builder's tar are lost, so an exported image has new
 * diff-ids and a new id, but unpacks to the same files.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { fail } from '../../../base/fault.ts';
import { unpackLimits } from '../../bounds.ts';
import { archiveLimits } from '../bounds.ts';
import { errnoName, must } from '../../../host/ffi/errno.ts';
import { deviceNumbers, SEEK_DATA, SEEK_HOLE } from '../../../host/ffi/constants.ts';
import { callSync, libc } from '../../../host/ffi/ffi.ts';
import { getXattrAt, listXattrsAt } from '../../../host/files/files-at.ts';
import { shown, type ByteString } from '../../../base/byte-string.ts';
import type { SparsePiece } from '../../layers/tar-sparse.ts';
import { isAllowedXattr } from '../../layers/unpack-xattr.ts';
import { OPAQUE_XATTR } from '../../layers/unpack-root.ts';
import { listDirectory, openDirectoryAt, readLinkAt } from '../../trees/entry-calls.ts';
import { endOfArchive, headerOf, paddingAfter, type WrittenEntry } from './tar-header-bytes.ts';

const ROOT_MODE = 0o755;
const MODE_BITS = 0o7777;
const BLOCK_BYTES = 512n;

/**
 * @param root descriptor of the layer's directory
 * @param isOpaque whether the layer's root hides all layers below
 */
export function* layerTar(root: number, isOpaque: boolean): Generator<Buffer, void, void> {
  yield* new LayerWriter().tree(root, isOpaque);
  yield endOfArchive();
}

/** Attributes of a whiteout entry. */
const WHITEOUT: Omit<WrittenEntry, 'name'> = {
  // no mtime: a whiteout's file was created by the unpacking, so its time would differ between nodes
  type: 'file',
  linkName: '',
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtimeNs: 0n,
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: [],
};

class LayerWriter {
  /** First path of each file with several hard links, by inode. */
  readonly #linked = new Map<bigint, ByteString>();
  #entries = 0;

  *tree(root: number, isOpaque: boolean): Generator<Buffer, void, void> {
    const stats = fstatSync(root, { bigint: true });
    const xattrs = xattrsOf(root, '.');
    const isPlain =
      (Number(stats.mode) & MODE_BITS) === ROOT_MODE &&
      stats.uid === 0n &&
      stats.gid === 0n &&
      xattrs.length === 0;
    // a root with default attributes probably had no entry; its mtime is then the time of the unpacking
    if (!isPlain)
      yield headerOf({ ...attributes(stats), type: 'directory', name: './', linkName: '', size: 0, xattrs });
    if (isOpaque) yield headerOf({ ...WHITEOUT, name: '.wh..wh..opq' });
    yield* this.#inside(root, '', 0);
  }

  *#inside(fd: number, prefix: ByteString, depth: number): Generator<Buffer, void, void> {
    if (depth > archiveLimits.depth)
      fail(
        'exhausted',
        `write layer tar: ${shown(prefix)} is deeper than ${archiveLimits.depth} directories`,
      );
    const names = listDirectory(fd)
      .map(({ name }) => name)
      .toSorted((a, b) => (a < b ? -1 : 1));
    for (const name of names) {
      this.#entries += 1;
      if (this.#entries > archiveLimits.layerEntries)
        fail('exhausted', `write layer tar: more than ${archiveLimits.layerEntries} entries`);
      yield* this.#entry(fd, name, prefix, depth);
    }
  }

  *#entry(fd: number, name: ByteString, prefix: ByteString, depth: number): Generator<Buffer, void, void> {
    const stats = lstatSync(pathOf(fd, name), { bigint: true });
    const path = `${prefix}${name}`;
    if (stats.isCharacterDevice() && stats.rdev === 0n) {
      yield headerOf({ ...WHITEOUT, name: `${prefix}.wh.${name}` });
    } else if (stats.isDirectory()) {
      yield headerOf({
        ...attributes(stats),
        type: 'directory',
        name: `${path}/`,
        linkName: '',
        size: 0,
        xattrs: xattrsOf(fd, name),
      });
      if (getXattrAt(fd, bytesOf(name), OPAQUE_XATTR)?.at(0) === 'y'.charCodeAt(0))
        yield headerOf({ ...WHITEOUT, name: `${path}/.wh..wh..opq` });
      const own = openDirectoryAt(fd, name);
      try {
        yield* this.#inside(own, `${path}/`, depth + 1);
      } finally {
        closeSync(own);
      }
    } else {
      const first = stats.nlink > 1n ? this.#linked.get(stats.ino) : undefined;
      if (first !== undefined) {
        yield headerOf({
          ...attributes(stats),
          type: 'hardLink',
          name: path,
          linkName: first,
          size: 0,
          xattrs: [],
        });
        return;
      }
      if (stats.nlink > 1n) this.#linked.set(stats.ino, path);
      yield* leaf(fd, name, path, stats);
    }
  }
}

/** A file, symlink, device or FIFO. */
function* leaf(
  fd: number,
  name: ByteString,
  path: ByteString,
  stats: BigIntStats,
): Generator<Buffer, void, void> {
  const common = { ...attributes(stats), name: path, linkName: '', size: 0, xattrs: xattrsOf(fd, name) };
  if (stats.isFile()) yield* file(fd, name, { ...common, type: 'file', size: Number(stats.size) }, stats);
  else if (stats.isSymbolicLink())
    yield headerOf({ ...common, type: 'symlink', linkName: readLinkAt(fd, name) });
  else if (stats.isFIFO()) yield headerOf({ ...common, type: 'fifo' });
  else if (stats.isCharacterDevice() || stats.isBlockDevice()) {
    yield headerOf({
      ...common,
      ...deviceOf(stats.rdev),
      type: stats.isBlockDevice() ? 'block' : 'character',
    });
  } else fail('outside', `write layer tar: ${shown(path)} has a file type that tar cannot store`);
}

function* file(
  fd: number,
  name: ByteString,
  entry: WrittenEntry,
  stats: BigIntStats,
): Generator<Buffer, void, void> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const own = openSync(pathOf(fd, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const pieces =
      stats.blocks * BLOCK_BYTES < stats.size ? dataOf(own, entry.size) : [{ offset: 0, length: entry.size }];
    const isWhole = pieces.length === 1 && pieces[0]?.offset === 0 && pieces[0].length === entry.size;
    const header = isWhole ? headerOf(entry) : headerOf({ ...entry, pieces });
    yield header;
    let stored = 0;
    for (const { offset, length } of pieces) {
      yield* bytesFrom(own, offset, length, entry.name);
      stored += length;
    }
    yield paddingAfter(stored);
  } finally {
    closeSync(own);
  }
}

function* bytesFrom(
  fd: number,
  offset: number,
  length: number,
  path: ByteString,
): Generator<Buffer, void, void> {
  for (let done = 0; done < length;) {
    const piece = Buffer.allocUnsafe(Math.min(archiveLimits.readBytes, length - done));
    const bytes = readSync(fd, piece, 0, piece.length, offset + done);
    if (bytes === 0) fail('outside', `write layer tar: ${shown(path)} shrank while it was read`);
    done += bytes;
    yield piece.subarray(0, bytes);
  }
}

/** The ranges of the file that hold data (lseek(2), SEEK_DATA). An empty last piece marks a hole at the end. */
function dataOf(fd: number, size: number): readonly SparsePiece[] {
  const pieces: SparsePiece[] = [];
  let end = 0;
  while (end < size) {
    const found = callSync(libc.lseek, fd, end, SEEK_DATA);
    if (found.result === -1 && errnoName(found.errno) === 'ENXIO') break;
    const offset = must(found, 'find data in descriptor', String(fd));
    end = Math.min(
      size,
      must(callSync(libc.lseek, fd, offset, SEEK_HOLE), 'find the end of data in descriptor', String(fd)),
    );
    pieces.push({ offset, length: end - offset });
  }
  if (end < size) pieces.push({ offset: size, length: 0 });
  // our own unpacker refuses more pieces, so write such a file in full, with its zeros
  return pieces.length > unpackLimits.sparsePieces ? [{ offset: 0, length: size }] : pieces;
}

function attributes(
  stats: BigIntStats,
): Pick<WrittenEntry, 'mode' | 'uid' | 'gid' | 'mtimeNs' | 'deviceMajor' | 'deviceMinor'> {
  return {
    mode: Number(stats.mode) & MODE_BITS,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    mtimeNs: stats.mtimeNs,
    deviceMajor: 0,
    deviceMinor: 0,
  };
}

function deviceOf(rdev: bigint): Pick<WrittenEntry, 'deviceMajor' | 'deviceMinor'> {
  const { major, minor } = deviceNumbers(rdev);
  return { deviceMajor: major, deviceMinor: minor };
}

/** The xattrs that an image may set, without those that overlayfs adds. */
function xattrsOf(fd: number, name: ByteString): WrittenEntry['xattrs'] {
  return listXattrsAt(fd, bytesOf(name))
    .map((xattr) => Buffer.from(xattr).toString('latin1'))
    .filter(isAllowedXattr)
    .map((xattr) => ({
      name: xattr,
      value: Buffer.from(getXattrAt(fd, bytesOf(name), Buffer.from(xattr, 'latin1').toString()) ?? []),
    }));
}

function bytesOf(name: ByteString): Buffer {
  return Buffer.from(name, 'latin1');
}

function pathOf(fd: number, name: ByteString): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${fd}/`), bytesOf(name)]);
}
