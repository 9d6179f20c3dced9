/**
 * Images outside of a registry, in the forms that skopeo, Docker, Podman and Buildah write: `oci:`, `oci-archive:`,
 * `docker-archive:` and `dir:` (containers-transports(5)). This file verifies only what it needs to find the parts. The
 * daemon verifies digests and sizes when it pulls the image.
 */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fail } from '../../../base/fault.ts';
import { hexOf, parseDigest, type Digest } from '../../../base/ids.ts';
import { imageLimits } from '../../bounds.ts';
import { archiveLimits } from '../bounds.ts';
import { Fields, parseDocument } from '../../documents/fields.ts';
import { mediaTypes, type Descriptor } from '../model/manifest.ts';
import { formatReference, parseRawReference, parseReference } from '../model/reference.ts';
import { JsonError, parseStrictJson, type JsonObject } from '../../documents/strict-json.ts';
import { digestOfFile, layerTypeOf } from './measure.ts';
import { directoryFiles, memorySource, tarFiles, type SourceFile, type SourceFiles } from './source-files.ts';

export type ImageTransport = 'oci' | 'oci-archive' | 'docker-archive' | 'dir';

export interface Location {
  readonly transport: ImageTransport;
  /** Absolute. */
  readonly path: string;
  /** The tag or name that selects one of several images; empty when the location does not give one. */
  readonly choice: string;
}

/** One image of a source. */
export interface OfferedImage {
  /** Full references that the source records for the image. */
  readonly names: readonly string[];
  /** Tags and names that select this image. */
  readonly choices: readonly string[];
  /** The manifest or index. */
  readonly bytes: Uint8Array;
  /** As the source states it; empty when it states none. */
  readonly mediaType: string;
}

export interface OpenedSource {
  readonly images: readonly OfferedImage[];
  blob(digest: Digest): Promise<SourceFile | undefined>;
  close(): Promise<void>;
}

const TRANSPORT = /^(oci|oci-archive|docker-archive|dir):(.+)$/u;

/**
 * Parses `transport:path[:choice]`. For a path without a transport, the files decide which it is.
 * Throws `invalidRequest`, or `notFound` when the path does not exist.
 */
export async function parseSource(text: string): Promise<Location> {
  const found = parseLocation(text);
  if (found !== undefined) return found;
  const path = resolve(text);
  const stats = await stat(path).catch(() => fail('notFound', `import ${text}: not found`));
  const files = stats.isDirectory() ? directoryFiles(path) : await tarFiles(path);
  const isOci = (await files.find('oci-layout')) !== undefined;
  const hasManifest = (await files.find('manifest.json')) !== undefined;
  await files.close();
  if (!isOci && !hasManifest)
    fail('invalidRequest', `import ${text}: not an OCI layout, a docker save archive or a skopeo dir:`);
  if (stats.isDirectory()) return { transport: isOci ? 'oci' : 'dir', path, choice: '' };
  return { transport: isOci ? 'oci-archive' : 'docker-archive', path, choice: '' };
}

/** Returns undefined when the text does not start with a transport. */
export function parseLocation(text: string): Location | undefined {
  const [, transport, rest = ''] = TRANSPORT.exec(text) ?? [];
  if (transport === undefined) return undefined;
  const colon = transport === 'dir' ? -1 : rest.indexOf(':');
  const path = colon < 0 ? rest : rest.slice(0, colon);
  if (path === '') fail('invalidRequest', `parse image location ${text}: the path is empty`);
  return {
    transport: transport as ImageTransport,
    path: resolve(path),
    choice: colon < 0 ? '' : rest.slice(colon + 1),
  };
}

/** Opens the source. Throws `outside` when its files do not have the transport's form. */
export async function openSource({ transport, path }: Location): Promise<OpenedSource> {
  const files = transport === 'oci' || transport === 'dir' ? directoryFiles(path) : await tarFiles(path);
  try {
    if (transport === 'dir') return await dirSource(files);
    return await (transport === 'docker-archive' ? dockerSource(files) : ociSource(files));
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** The images that a location selects: the chosen one, or all when it chooses none. Throws `notFound`. */
export function selectImages(source: OpenedSource, { path, choice }: Location): readonly OfferedImage[] {
  if (choice === '') return source.images;
  const wanted = new Set([choice, ...fullName(choice)]);
  const found = source.images.filter(({ choices }) => choices.some((one) => wanted.has(one)));
  if (found.length > 0) return found;
  const available = source.images.flatMap(({ choices }) => choices);
  return fail(
    'notFound',
    `import ${path}: image ${choice} not found; available: ${available.length === 0 ? 'no named image' : available.slice(0, archiveLimits.named).map(cut).join(', ')}`,
  );
}

/** A name of the source as messages quote it. */
function cut(name: string): string {
  return name.length > archiveLimits.namedChars ? `${name.slice(0, archiveLimits.namedChars)}…` : name;
}

async function document(
  files: SourceFiles,
  name: string,
): Promise<{ readonly bytes: Uint8Array; readonly what: string }> {
  const what = `${files.path}: ${cut(name)}`;
  const file = await files.find(name);
  if (file === undefined) return fail('outside', `${what} not found`);
  return { bytes: await file.whole(imageLimits.documentBytes), what };
}

// ---- an OCI image layout (image spec: image-layout.md) ----

const REF_NAME = 'org.opencontainers.image.ref.name';
/** containerd and Docker write the full reference into this annotation and only the tag into `REF_NAME`. */
const FULL_NAME = 'io.containerd.image.name';

async function ociSource(files: SourceFiles): Promise<OpenedSource> {
  const marker = await document(files, 'oci-layout');
  const version = parseDocument(marker.bytes, marker.what).text('imageLayoutVersion', '');
  if (!version.startsWith('1.'))
    fail('unsupported', `${marker.what}: imageLayoutVersion is ${JSON.stringify(version)}, not 1.x`);
  const index = await document(files, 'index.json');
  const entries = parseDocument(index.bytes, index.what).objects('manifests', archiveLimits.images);
  const images: OfferedImage[] = [];
  for (const entry of entries) {
    const annotations = entry.textMap('annotations');
    const [short = '', full = ''] = [annotations[REF_NAME], annotations[FULL_NAME]];
    const { bytes } = await document(files, blobPath(entry.digest('digest')));
    images.push({
      bytes,
      mediaType: entry.text('mediaType', ''),
      names: full !== '' ? fullName(full) : short.includes('/') ? fullName(short) : [],
      choices: [short, full, ...fullName(full)].filter((text) => text !== ''),
    });
  }
  return { images, blob: (digest) => files.find(blobPath(digest)), close: () => files.close() };
}

function blobPath(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

/** The normalised reference in a list, or an empty list when the text is not a reference or has a digest. */
function fullName(text: string): readonly string[] {
  try {
    return parseRawReference(text).digest === undefined ? [formatReference(parseReference(text))] : [];
  } catch {
    return [];
  }
}

// ---- skopeo's dir: ----

async function dirSource(files: SourceFiles): Promise<OpenedSource> {
  const { bytes } = await document(files, 'manifest.json');
  return {
    images: [{ names: [], choices: [], bytes, mediaType: '' }],
    blob: async (digest) => (await files.find(hexOf(digest))) ?? files.find(`${hexOf(digest)}.manifest.json`),
    close: () => files.close(),
  };
}

// ---- docker save (docker image spec v1.2, "Combined Image JSON + Filesystem Changeset Format") ----

async function dockerSource(files: SourceFiles): Promise<OpenedSource> {
  const { bytes, what } = await document(files, 'manifest.json');
  const blobs = new Map<Digest, SourceFile>();
  const layers = new Map<string, Descriptor>();
  const images: OfferedImage[] = [];
  for (const fields of objectsOf(bytes, what)) {
    const tags = fields.texts('RepoTags').flatMap(fullName);
    const config = await document(files, fields.filePath('Config'));
    const configPart = {
      mediaType: mediaTypes.dockerConfig,
      digest: digestOfBytes(config.bytes),
      size: config.bytes.byteLength,
    };
    blobs.set(configPart.digest, memorySource(config.bytes));
    const parts: Descriptor[] = [];
    for (const path of fields.filePaths('Layers')) {
      const part = layers.get(path) ?? (await layerOf(files, path, blobs));
      layers.set(path, part);
      parts.push(part);
    }
    const manifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.dockerManifest,
      config: configPart,
      layers: parts,
    };
    images.push({
      names: tags,
      choices: tags,
      bytes: Buffer.from(JSON.stringify(manifest)),
      mediaType: mediaTypes.dockerManifest,
    });
  }
  if (images.length === 0) fail('outside', `${what}: lists no image`);
  return { images, blob: async (digest) => blobs.get(digest), close: () => files.close() };
}

/** Docker's manifest.json has paths of layers but no digests, so each layer is read once to compute its digest. */
async function layerOf(
  files: SourceFiles,
  path: string,
  blobs: Map<Digest, SourceFile>,
): Promise<Descriptor> {
  const file = (await files.find(path)) ?? fail('outside', `${files.path}: layer ${cut(path)} not found`);
  const digest = await digestOfFile(file);
  blobs.set(digest, file);
  return { mediaType: await layerTypeOf(file), digest, size: file.size };
}

function objectsOf(bytes: Uint8Array, what: string): readonly Fields[] {
  try {
    const list = parseStrictJson(bytes);
    if (!Array.isArray(list)) return fail('outside', `${what}: not a JSON array`);
    if (list.length > archiveLimits.images)
      fail('exhausted', `${what}: ${list.length} images, more than the ${archiveLimits.images} allowed`);
    return list.map((item: unknown, at) =>
      item instanceof Map
        ? new Fields(what, `[${at}]`, item as JsonObject)
        : fail('outside', `${what}: [${at}] is not a JSON object`),
    );
  } catch (error) {
    if (error instanceof JsonError) fail('outside', `${what}: invalid JSON: ${error.message}`);
    throw error;
  }
}

function digestOfBytes(bytes: Uint8Array): Digest {
  return (
    parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`) ??
    fail('bug', 'a computed sha256 does not parse as a digest')
  );
}
