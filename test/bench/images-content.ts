// Images of realistic content: directories of this machine's /usr, chosen by a seed, so that each run packs the same
// files as long as the machine's packages stay as they are.
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createGzip, createZstdCompress } from 'node:zlib';
import type { Image, Layer } from '../../scripts/support/image.ts';
import { imageOf } from '../../scripts/support/image.ts';
import { memberOf } from '../../scripts/support/tar.ts';
import { endOfArchive } from '../../src/oci/images/archive/tar-header-bytes.ts';

const MEGABYTE = 1_000_000;
const SOURCE = '/usr';
const SEED = 'troupe bench images 1';
/** One program of a compiler must not be a layer of its own. */
const FILE_BYTES = 8 * MEGABYTE;

/** MB of each layer; together 110, as the image that the peers were measured with. */
export const NINE = [30, 25, 20, 12, 8, 6, 4, 3, 2];

export type Compression = 'gzip' | 'zstd';

const TYPES: Readonly<Record<Compression, string>> = {
  gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  zstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
};

/** A layer for the floor, in memory that threads share. */
export interface FloorLayer {
  readonly blob: SharedArrayBuffer;
  readonly compression: Compression;
  /** Bytes when inflated: one buffer takes all of them, so that nothing is copied. */
  readonly tarBytes: number;
}

export interface Content {
  readonly image: Image;
  readonly files: number;
  readonly tarBytes: number;
  readonly blobBytes: number;
  /** The same layers for the floor. */
  readonly floor: readonly FloorLayer[];
}

/**
 * An image with one layer for each of `sizes`, each at least so many MB when compressed and holding what no other has.
 * @throws when the machine has not that much in /usr
 */
export async function makeContent(sizes: readonly number[], compression: Compression): Promise<Content> {
  const paths = shuffled();
  const layers: Layer[] = [];
  const floor: FloorLayer[] = [];
  let files = 0;
  let tarBytes = 0;
  for (const megabytes of sizes) {
    const packed = await packLayer(paths, megabytes * MEGABYTE, compression);
    layers.push(packed.layer);
    const blob = new SharedArrayBuffer(packed.layer.blob.bytes.length);
    new Uint8Array(blob).set(packed.layer.blob.bytes);
    floor.push({ blob, compression, tarBytes: packed.tarBytes });
    files += packed.files;
    tarBytes += packed.tarBytes;
  }
  const blobBytes = layers.reduce((sum, { blob }) => sum + blob.bytes.length, 0);
  return { image: imageOf({ Cmd: ['true'] }, layers), files, tarBytes, blobBytes, floor };
}

/**
 * Every file and link below /usr, directory by directory, in an order that the seed alone decides; the first is the
 * last.
 */
function shuffled(): string[] {
  const found: string[] = [];
  const visit = (directory: string): void => {
    found.push(directory);
    for (const entry of readdirSync(directory, { withFileTypes: true }))
      if (entry.isDirectory()) visit(join(directory, entry.name));
  };
  visit(SOURCE);
  const keyOf = (path: string): string => createHash('sha256').update(`${SEED} ${path}`).digest('hex');
  const keyed = found
    .map((path) => ({ path, key: keyOf(path) }))
    .toSorted((a, b) => (a.key < b.key ? 1 : -1));
  return keyed.flatMap(({ path }) => filesOf(path));
}

function filesOf(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true })
    .filter(
      (entry) =>
        entry.isSymbolicLink() ||
        (entry.isFile() && lstatSync(join(directory, entry.name)).size <= FILE_BYTES),
    )
    .map((entry) => join(directory, entry.name))
    .toSorted((a, b) => (a < b ? 1 : -1));
}

interface Packed {
  readonly layer: Layer;
  readonly files: number;
  readonly tarBytes: number;
}

/** Takes files from the end of the list until the compressed bytes are enough. */
async function packLayer(paths: string[], bytes: number, compression: Compression): Promise<Packed> {
  const hash = createHash('sha256');
  const compressor = compression === 'gzip' ? createGzip() : createZstdCompress();
  const parts: Buffer[] = [];
  let done = 0;
  let tarBytes = 0;
  compressor.on('data', (piece: Buffer) => {
    parts.push(piece);
    done += piece.length;
  });
  const ended = new Promise((resolve, reject) => compressor.once('end', resolve).once('error', reject));
  const write = async (piece: Buffer): Promise<void> => {
    tarBytes += piece.length;
    hash.update(piece);
    await new Promise((resolve) => compressor.write(piece, resolve));
  };
  const known = new Set<string>();
  let files = 0;
  for (; done < bytes; files += 1) {
    const path = paths.pop();
    if (path === undefined)
      throw new Error(`bench images: ${SOURCE} has not enough in it for a layer of ${bytes} bytes`);
    for (const directory of newParents(path, known)) await write(tarEntry(directory));
    await write(tarEntry(path));
  }
  await write(endOfArchive());
  compressor.end();
  await ended;
  const blob = Buffer.concat(parts);
  const digest = `sha256:${createHash('sha256').update(blob).digest('hex')}`;
  return {
    layer: {
      blob: { mediaType: TYPES[compression], digest, bytes: blob },
      diffId: `sha256:${hash.digest('hex')}`,
    },
    files,
    tarBytes,
  };
}

/** The directories above a path that the layer has no entry for yet, outermost first: builders write them all. */
function newParents(path: string, known: Set<string>): string[] {
  const names = path.slice(1).split('/').slice(0, -1);
  const parents = names
    .map((_, depth) => `/${names.slice(0, depth + 1).join('/')}`)
    .filter((parent) => !known.has(parent));
  for (const parent of parents) known.add(parent);
  return parents;
}

function tarEntry(path: string): Buffer {
  const stats = lstatSync(path);
  const name = path.slice(1);
  const attributes = {
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    mtimeNs: BigInt(Math.trunc(stats.mtimeMs / 1000)) * 1_000_000_000n,
  };
  if (stats.isFile()) return memberOf({ ...attributes, type: 'file', name }, readFileSync(path));
  if (stats.isDirectory()) return memberOf({ ...attributes, type: 'directory', name: `${name}/` });
  return memberOf({ ...attributes, type: 'symlink', name, linkName: readlinkSync(path) });
}
