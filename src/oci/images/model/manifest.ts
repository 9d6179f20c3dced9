/**
 * Parses manifests and indexes of Docker and OCI (image spec: manifest.md, image-index.md, descriptor.md). An ambiguous
 * document is refused (S17): its own media type, the one that the registry states and its fields must agree.
 */
import { fail } from '../../../base/fault.ts';
import type { Digest } from '../../../base/ids.ts';
import { imageLimits } from '../../bounds.ts';
import type { StringMap } from '../../../ports/specs.ts';
import { pathOfBlob } from './artifact.ts';
import { parseDocument, type Fields } from '../../documents/fields.ts';
import { usualNames, type Platform } from './platform.ts';
import { isSchema1Type, readSchema1, schema1Types, type Schema1Manifest } from './schema1.ts';

export const mediaTypes = {
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
} as const;

/** Media types for the Accept header of a manifest request, in order of preference. */
export const acceptedManifestTypes: readonly string[] = [
  mediaTypes.ociIndex,
  mediaTypes.dockerList,
  mediaTypes.ociManifest,
  mediaTypes.dockerManifest,
  schema1Types.signed,
  schema1Types.plain,
];

export type Compression = 'none' | 'gzip' | 'zstd';

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

export interface LayerDescriptor extends Descriptor {
  readonly compression: Compression;
}

export interface IndexEntry extends Descriptor {
  /** Undefined when the index does not state it. */
  readonly platform: Platform | undefined;
}

export interface ImageManifest {
  readonly kind: 'manifest';
  readonly mediaType: string;
  readonly config: Descriptor;
  /** Lowest first; at least one. */
  readonly layers: readonly LayerDescriptor[];
  readonly annotations: StringMap;
}

/** A manifest whose config is not an image config: each blob is a file. */
export interface ArtifactManifest {
  readonly kind: 'artifact';
  readonly mediaType: string;
  readonly config: Descriptor;
  /** At least one; no path equals another one or leads through it. */
  readonly files: readonly ArtifactFile[];
  readonly annotations: StringMap;
}

export interface ArtifactFile extends Descriptor {
  /** Relative, without `.`, `..` and empty parts. */
  readonly path: string;
}

export type Manifest = ImageManifest | ArtifactManifest | Schema1Manifest;

export interface ImageIndex {
  readonly kind: 'index';
  readonly mediaType: string;
  /** Manifests and indexes alone: entries of other types must be ignored (image-index.md, `manifests`). */
  readonly entries: readonly IndexEntry[];
}

const KIND_OF: ReadonlyMap<string, 'manifest' | 'index'> = new Map([
  [mediaTypes.dockerManifest, 'manifest'],
  [mediaTypes.ociManifest, 'manifest'],
  [mediaTypes.dockerList, 'index'],
  [mediaTypes.ociIndex, 'index'],
]);

/** Layer types that are unpacked. One manifest may mix Docker's and OCI's: they mean the same tars. */
const LAYERS: ReadonlyMap<string, Compression> = new Map([
  ['application/vnd.docker.image.rootfs.diff.tar', 'none'],
  ['application/vnd.docker.image.rootfs.diff.tar.gzip', 'gzip'],
  ['application/vnd.docker.image.rootfs.diff.tar.zstd', 'zstd'],
  ['application/vnd.oci.image.layer.v1.tar', 'none'],
  ['application/vnd.oci.image.layer.v1.tar+gzip', 'gzip'],
  ['application/vnd.oci.image.layer.v1.tar+zstd', 'zstd'],
  // "foreign" and "nondistributable" restrict redistribution, not pulls; such layers are fetched from the registry like
  // all others, never from their `urls` (S16)
  ['application/vnd.docker.image.rootfs.foreign.diff.tar', 'none'],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', 'gzip'],
  ['application/vnd.docker.image.rootfs.foreign.diff.tar.zstd', 'zstd'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar', 'none'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+gzip', 'gzip'],
  ['application/vnd.oci.image.layer.nondistributable.v1.tar+zstd', 'zstd'],
]);

/** Whether registries may lack layers of this media type. */
export function isNondistributable(mediaType: string): boolean {
  return /\.(?:foreign|nondistributable)\./u.test(mediaType);
}

/** The most files of one artifact: each becomes a layer of its mount. */
const FILES: number = imageLimits.layers;

/** Content types of servers that do not know manifests, such as web servers and object stores (`binary/` is S3's). */
const GENERIC_TYPES = new Set([
  '',
  'application/json',
  'application/octet-stream',
  'binary/octet-stream',
  'text/plain',
]);

/**
 * Config types that Docker 1.10 wrote (distribution/distribution issue 1621). Public registries still have such images.
 * Accepted in Docker manifests only: in an OCI manifest an unknown config type means an artifact.
 */
const OLD_CONFIGS = new Set(['application/octet-stream', 'application/json', 'text/html']);

const KNOWN_KEYS = [
  'schemaVersion',
  'mediaType',
  'config',
  'layers',
  'manifests',
  'fsLayers',
  'history',
  'signatures',
  'artifactType',
];
const DESCRIPTOR_KEYS = ['mediaType', 'digest', 'size', 'platform', 'urls', 'annotations'];

/** The compression of a layer of this media type, or undefined for a type that is not a layer. */
export function compressionOf(mediaType: string): Compression | undefined {
  return LAYERS.get(mediaType);
}

/**
 * @param bytes the document; for a signed one its payload (`signedPayload`)
 * @param what start of every message, such as `manifest docker.io/library/busybox:latest`
 * @param contentType as the registry stated it, or the media type of the parent's descriptor; '' when unknown
 * @throws FaultError `outside` for a malformed or ambiguous document, `unsupported` for an unsupported kind
 */
export function parseManifest(bytes: Uint8Array, contentType: string, what: string): Manifest | ImageIndex {
  const fields = parseDocument(bytes, what);
  fields.refuseLookalikes(KNOWN_KEYS);
  const stated = (contentType.split(';', 1)[0] ?? '').trim().toLowerCase();
  const version = fields.size('schemaVersion', Number.MAX_SAFE_INTEGER);
  if (version === 1) return parseSchema1(fields, stated, what);
  if (version !== 2) fields.refuse('schemaVersion', `is ${version}, not 2`);
  const mediaType = agreedMediaType(fields, stated);
  return KIND_OF.get(mediaType) === 'index'
    ? readIndex(fields, mediaType)
    : readManifest(fields, mediaType, what);
}

/** As messages quote it: the author of the manifest chooses any text of any length. */
function quoted(text: string): string {
  return JSON.stringify(text.slice(0, imageLimits.quotedChars));
}

function parseSchema1(fields: Fields, stated: string, what: string): Schema1Manifest {
  const own = fields.text('mediaType', '');
  if (own !== '' && !isSchema1Type(own))
    fields.refuse('mediaType', `is ${quoted(own)} in a manifest of schema 1`);
  if (!isSchema1Type(stated) && !GENERIC_TYPES.has(stated))
    fields.refuse('content type', `is ${quoted(stated)} for a manifest of schema 1`);
  return readSchema1(fields, what);
}

function agreedMediaType(fields: Fields, stated: string): string {
  const own = fields.text('mediaType', '');
  if (own !== '' && !KIND_OF.has(own))
    fields.refuse('mediaType', `is ${quoted(own)}, neither a manifest nor an index`);
  if (KIND_OF.has(stated)) {
    if (own !== '' && own !== stated)
      fields.refuse('mediaType', `is ${own}, but the registry says ${stated}`);
    return stated;
  }
  if (!GENERIC_TYPES.has(stated))
    fields.refuse('content type', `is ${quoted(stated)}, not that of a manifest or index of schema 2`);
  if (own !== '') return own;
  // OCI makes the field optional; without it, the fields present decide, and a mixture is refused below
  return fields.has('manifests') ? mediaTypes.ociIndex : mediaTypes.ociManifest;
}

function readIndex(fields: Fields, mediaType: string): ImageIndex {
  for (const foreign of ['config', 'layers', 'fsLayers']) {
    if (fields.has(foreign)) fields.refuse(foreign, 'is not allowed in an index: the document is ambiguous');
  }
  if (!fields.has('manifests')) fields.refuse('manifests', 'is missing');
  const entries = fields.objects('manifests', imageLimits.indexEntries).flatMap(readIndexEntry);
  return Object.freeze({ kind: 'index', mediaType, entries: Object.freeze(entries) });
}

/**
 * The entry, or none for one that is neither a manifest nor an index. Such a one must not make the index fail, so that
 * only its media type is read: its content may be larger than a document, and its digest of another algorithm.
 */
function readIndexEntry(fields: Fields): readonly IndexEntry[] {
  const mediaType = readMediaType(fields);
  if (!KIND_OF.has(mediaType) && !isSchema1Type(mediaType)) return [];
  const platform = fields.object('platform');
  const entry: IndexEntry = Object.freeze({
    ...contentOf(fields, mediaType, imageLimits.documentBytes),
    platform:
      platform === undefined
        ? undefined
        : Object.freeze({
            ...usualNames({ os: platform.text('os', ''), architecture: platform.text('architecture', '') }),
            variant: platform.text('variant', '').toLowerCase(),
          }),
  });
  return [entry];
}

function readManifest(fields: Fields, mediaType: string, what: string): ImageManifest | ArtifactManifest {
  for (const foreign of ['manifests', 'fsLayers']) {
    if (fields.has(foreign))
      fields.refuse(foreign, 'is not allowed in a manifest: the document is ambiguous');
  }
  const configFields = fields.object('config');
  if (configFields === undefined) fields.refuse('config', 'is missing');
  const config = readDescriptor(configFields, imageLimits.documentBytes);
  if (!isImageConfig(config.mediaType, mediaType)) return readArtifact(fields, { mediaType, config }, what);
  const layers = fields.objects('layers', imageLimits.layers).map((layer) => readLayer(layer, what));
  // overlayfs needs a lower directory; an image without layers must never get a host directory in its place (S56)
  if (layers.length === 0) fields.refuse('layers', 'is empty');
  const annotations = fields.textMap('annotations');
  return Object.freeze({ kind: 'manifest', mediaType, config, layers: Object.freeze(layers), annotations });
}

function isImageConfig(type: string, manifestType: string): boolean {
  if (type === mediaTypes.dockerConfig || type === mediaTypes.ociConfig) return true;
  return manifestType === mediaTypes.dockerManifest && OLD_CONFIGS.has(type.toLowerCase());
}

function readArtifact(
  fields: Fields,
  head: Pick<ArtifactManifest, 'mediaType' | 'config'>,
  what: string,
): ArtifactManifest {
  const stated = fields.objects('layers', FILES).map((blob): ArtifactFile => {
    const descriptor = readDescriptor(blob, imageLimits.layerBytes);
    refuseEncrypted(descriptor, what);
    return Object.freeze({
      ...descriptor,
      path: pathOfBlob(blob.textMap('annotations'), descriptor.digest, (reason) =>
        blob.refuse('annotations', reason),
      ),
    });
  });
  if (stated.length === 0) fields.refuse('layers', 'is empty: the artifact has no file');
  // a blob listed several times without a title, as in cosign's signatures, is one file
  const files = [...new Map(stated.map((file) => [`${file.digest} ${file.path}`, file])).values()];
  const paths = new Set(files.map(({ path }) => path));
  if (paths.size < files.length) fields.refuse('layers', 'has two files with the same path');
  const below = pathBelowFile(paths);
  if (below !== undefined) fields.refuse('layers', `has ${quoted(below)} below the path of another file`);
  return Object.freeze({
    kind: 'artifact',
    ...head,
    files: Object.freeze(files),
    annotations: fields.textMap('annotations'),
  });
}

/**
 * A path that leads through another one, as `a/b` through `a`. Each file is a layer of the mount, in which one of the
 * two would hide the other.
 */
function pathBelowFile(paths: Iterable<string>): string | undefined {
  // sorted with a slash at the end, all paths below a file follow it directly
  const sorted = [...paths].map((path) => `${path}/`).toSorted();
  return sorted.find((path, at) => at > 0 && path.startsWith(sorted[at - 1] ?? path))?.slice(0, -1);
}

function refuseEncrypted({ digest, mediaType }: Descriptor, what: string): void {
  if (!mediaType.endsWith('+encrypted')) return;
  fail(
    'unsupported',
    `${what}: layer ${digest} is encrypted (${mediaType}); encrypted images are not supported`,
  );
}

function readLayer(fields: Fields, what: string): LayerDescriptor {
  const descriptor = readDescriptor(fields, imageLimits.layerBytes);
  const compression = LAYERS.get(descriptor.mediaType);
  if (compression !== undefined) return Object.freeze({ ...descriptor, compression });
  refuseEncrypted(descriptor, what);
  return fail(
    'unsupported',
    `${what}: layer ${descriptor.digest} has the media type ${descriptor.mediaType}, which is not a file system layer`,
  );
}

/**
 * Reads a descriptor without its `urls`: the image's author chooses them, so that fetching one would be a request of
 * the author's choice from this node. Content comes only from the registry that was asked (S16).
 */
function readDescriptor(fields: Fields, maxBytes: number): Descriptor {
  return contentOf(fields, readMediaType(fields), maxBytes);
}

function readMediaType(fields: Fields): string {
  fields.refuseLookalikes(DESCRIPTOR_KEYS);
  const mediaType = fields.text('mediaType', '', 255);
  if (!/^[a-z0-9][a-z0-9!#$&^_.+-]*\/[a-z0-9][a-z0-9!#$&^_.+-]*$/iu.test(mediaType)) {
    fields.refuse('mediaType', 'is not a media type');
  }
  return mediaType;
}

function contentOf(fields: Fields, mediaType: string, maxBytes: number): Descriptor {
  return Object.freeze({ mediaType, digest: fields.digest('digest'), size: fields.size('size', maxBytes) });
}
