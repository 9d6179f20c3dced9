/**
 * Images outside of a registry, in the forms that skopeo, Docker, Podman and Buildah write: `oci:`, `oci-archive:`,
 * `docker-archive:` and `dir:` (containers-transports(5)). Nothing is verified here beyond what it takes to find the
 * parts: whoever takes the image verifies it as one of a registry.
 */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fail } from '../../../base/fault.ts';
import { hexOf, parseDigest, type Digest } from '../../../base/ids.ts';
import { imageLimits } from '../../bounds.ts';
import { archiveLimits } from '../bounds.ts';
import { Fields, parseDocument } from '../../documents/fields.ts';
import { mediaTypes } from '../model/manifest.ts';
import { formatReference, parseRawReference, parseReference } from '../model/reference.ts';
import { JsonError, parseStrictJson, type JsonObject } from '../../documents/strict-json.ts';
import { digestOfFile, layerTypeOf } from './measure.ts';
import { directoryFiles, memoryFile, tarFiles, type SourceFile, type SourceFiles } from './source-files.ts';

export type Transport = 'oci' | 'oci-archive' | 'docker-archive' | 'dir';

export interface Location {
  readonly transport: Transport;
  /** Absolute. */
  readonly path: string;
  /** Which of several: a tag or name; empty when it is not said. */
  readonly choice: string;
}

/** One image of a source. */
export interface OfferedImage {
  /** Full references that the source itself gives it. */
  readonly names: readonly string[];
  /** What it can be chosen by. */
  readonly choices: readonly string[];
  /** The manifest or index. */
  readonly bytes: Uint8Array;
  /** As the source states it; empty when it does not. */
  readonly mediaType: string;
}

export interface ImageSource {
  readonly images: readonly OfferedImage[];
  blob(digest: Digest): Promise<SourceFile | undefined>;
  close(): Promise<void>;
}

const TRANSPORT = /^(oci|oci-archive|docker-archive|dir):(.+)$/u;

/** `transport:path[:choice]`; a bare path is looked at. Throws `invalidRequest`, or `notFound` when there is nothing. */
export async function parseSource(text: string): Promise<Location> {
  const found = parseLocation(text);
  if (found !== undefined) return found;
  const path = resolve(text);
  const stats = await stat(path).catch(() =>
    fail('notFound', `import ${text}: there is nothing of this name`),
  );
  const files = stats.isDirectory() ? directoryFiles(path) : await tarFiles(path);
  const isOci = (await files.find('oci-layout')) !== undefined;
  const hasManifest = (await files.find('manifest.json')) !== undefined;
  await files.close();
  if (!isOci && !hasManifest)
    fail(
      'invalidRequest',
      `import ${text}: neither an OCI layout nor an archive of Docker's nor a dir: of skopeo's`,
    );
  if (stats.isDirectory()) return { transport: isOci ? 'oci' : 'dir', path, choice: '' };
  return { transport: isOci ? 'oci-archive' : 'docker-archive', path, choice: '' };
}

/** Undefined for a text that names no transport. */
export function parseLocation(text: string): Location | undefined {
  const [, transport, rest = ''] = TRANSPORT.exec(text) ?? [];
  if (transport === undefined) return undefined;
  const colon = transport === 'dir' ? -1 : rest.indexOf(':');
  const path = colon < 0 ? rest : rest.slice(0, colon);
  if (path === '') fail('invalidRequest', `${text}: names no path`);
  return {
    transport: transport as Transport,
    path: resolve(path),
    choice: colon < 0 ? '' : rest.slice(colon + 1),
  };
}

/** The source, open. Throws `outside` for one that is not what it should be. */
export async function openSource({ transport, path }: Location): Promise<ImageSource> {
  const files = transport === 'oci' || transport === 'dir' ? directoryFiles(path) : await tarFiles(path);
  try {
    if (transport === 'dir') return await dirSource(files);
    return await (transport === 'docker-archive' ? dockerSource(files) : ociSource(files));
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** The images that a location means: the one it chooses, else all. Throws `notFound`. */
export function chosen(source: ImageSource, { path, choice }: Location): readonly OfferedImage[] {
  if (choice === '') return source.images;
  const wanted = new Set([choice, ...fullName(choice)]);
  const found = source.images.filter(({ choices }) => choices.some((one) => wanted.has(one)));
  if (found.length > 0) return found;
  const there = source.images.flatMap(({ choices }) => choices);
  return fail(
    'notFound',
    `import ${path}: no image ${choice}; there are ${there.length === 0 ? 'none with a name' : there.slice(0, archiveLimits.named).join(', ')}`,
  );
}

async function document(
  files: SourceFiles,
  name: string,
): Promise<{ readonly bytes: Uint8Array; readonly what: string }> {
  const what = `${files.place}: ${name}`;
  const file = await files.find(name);
  if (file === undefined) return fail('outside', `${what} is missing`);
  return { bytes: await file.whole(imageLimits.documentBytes), what };
}

// ---- an OCI image layout (image spec: image-layout.md) ----

const REF_NAME = 'org.opencontainers.image.ref.name';
/** containerd and Docker write the full reference here, and the tag alone in the other. */
const FULL_NAME = 'io.containerd.image.name';

async function ociSource(files: SourceFiles): Promise<ImageSource> {
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

/** The normalised reference; none for what is no reference. */
function fullName(text: string): readonly string[] {
  try {
    return parseRawReference(text).digest === undefined ? [formatReference(parseReference(text))] : [];
  } catch {
    return [];
  }
}

// ---- skopeo's dir: ----

async function dirSource(files: SourceFiles): Promise<ImageSource> {
  const { bytes } = await document(files, 'manifest.json');
  return {
    images: [{ names: [], choices: [], bytes, mediaType: '' }],
    blob: async (digest) => (await files.find(hexOf(digest))) ?? files.find(`${hexOf(digest)}.manifest.json`),
    close: () => files.close(),
  };
}

// ---- docker save, and what others write in its form (docker image spec v1.2, "Combined Image JSON + Filesystem Changeset Format") ----

async function dockerSource(files: SourceFiles): Promise<ImageSource> {
  const { bytes, what } = await document(files, 'manifest.json');
  const blobs = new Map<Digest, SourceFile>();
  const layers = new Map<string, Part>();
  const images: OfferedImage[] = [];
  for (const fields of objectsOf(bytes, what)) {
    const tags = fields.texts('RepoTags').flatMap(fullName);
    const config = await document(files, fields.text('Config', ''));
    const configPart = {
      mediaType: mediaTypes.dockerConfig,
      digest: digestOfBytes(config.bytes),
      size: config.bytes.byteLength,
    };
    blobs.set(configPart.digest, memoryFile(config.bytes));
    const parts: Part[] = [];
    for (const path of fields.texts('Layers')) {
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
  if (images.length === 0) fail('outside', `${what}: names no image`);
  return { images, blob: async (digest) => blobs.get(digest), close: () => files.close() };
}

interface Part {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

/** The archive does not say what a layer's digest is: it is read once for that. */
async function layerOf(files: SourceFiles, path: string, blobs: Map<Digest, SourceFile>): Promise<Part> {
  const file = (await files.find(path)) ?? fail('outside', `${files.place}: layer ${path} is missing`);
  const digest = await digestOfFile(file);
  blobs.set(digest, file);
  return { mediaType: await layerTypeOf(file), digest, size: file.size };
}

function objectsOf(bytes: Uint8Array, what: string): readonly Fields[] {
  try {
    const list = parseStrictJson(bytes);
    if (!Array.isArray(list)) return fail('outside', `${what}: is not a list`);
    if (list.length > archiveLimits.images)
      fail('exhausted', `${what}: ${list.length} images, more than the ${archiveLimits.images} allowed`);
    return list.map((item: unknown, at) =>
      item instanceof Map
        ? new Fields(what, `[${at}]`, item as JsonObject)
        : fail('outside', `${what}: [${at}] is not an object`),
    );
  } catch (error) {
    if (error instanceof JsonError) fail('outside', `${what}: not acceptable JSON: ${error.message}`);
    throw error;
  }
}

function digestOfBytes(bytes: Uint8Array): Digest {
  return (
    parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`) ??
    fail('bug', 'a sha256 that is no digest')
  );
}
