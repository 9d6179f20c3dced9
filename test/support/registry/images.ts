/** Tiny images made in memory. */
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { memberOf } from '../../../scripts/support/tar.ts';
import { endOfArchive } from '../../../src/oci/images/archive/tar-header-bytes.ts';
import { digestOf } from './digest.ts';

export type TestCompression = 'none' | 'gzip' | 'zstd';
export type Flavour = 'oci' | 'docker';

/** A file; `mode` is 0644 unless given. */
export interface TestEntry {
  readonly name: string;
  readonly mode?: number;
  readonly content?: string | Uint8Array;
}

export interface TestLayer {
  /** As served. */
  readonly bytes: Uint8Array;
  /** Of `bytes`. */
  readonly digest: string;
  /** Of the tar inside. */
  readonly diffId: string;
  readonly mediaType: string;
}

export interface TestImage {
  readonly layers: readonly TestLayer[];
  readonly config: Uint8Array;
  readonly manifest: Uint8Array;
  readonly mediaType: string;
}

const LAYER_TYPES = {
  oci: {
    none: 'application/vnd.oci.image.layer.v1.tar',
    gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
    zstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  },
  docker: {
    none: 'application/vnd.docker.image.rootfs.diff.tar',
    gzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
    zstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
  },
} as const;

const TYPES = {
  oci: {
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    index: 'application/vnd.oci.image.index.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
  },
  docker: {
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
  },
} as const;

/** The tar of the entries, in order. */
export function tarOf(entries: readonly TestEntry[]): Uint8Array {
  const members = entries.map(({ name, mode = 0o644, content = '' }) =>
    memberOf({ type: 'file', name, mode }, Buffer.from(content)),
  );
  return new Uint8Array(Buffer.concat([...members, endOfArchive()]));
}

export async function layerOf(
  entries: readonly TestEntry[],
  compression: TestCompression = 'gzip',
  flavour: Flavour = 'oci',
): Promise<TestLayer> {
  return layerOfTar(tarOf(entries), compression, flavour);
}

/** A layer of any bytes, also of such as are no tar. */
export function layerOfTar(
  tar: Uint8Array,
  compression: TestCompression,
  flavour: Flavour = 'oci',
): TestLayer {
  const bytes = new Uint8Array(compressed(tar, compression));
  return {
    bytes,
    digest: digestOf(bytes),
    diffId: digestOf(tar),
    mediaType: LAYER_TYPES[flavour][compression],
  };
}

function compressed(tar: Uint8Array, compression: TestCompression): Uint8Array {
  if (compression === 'none') return tar;
  return compression === 'gzip' ? gzipSync(tar) : zstdCompressSync(tar);
}

/** `config` is merged into the image config's own `config` object, `top` into the document. */
export function imageOf(
  layers: readonly TestLayer[],
  options: { flavour?: Flavour; config?: object; top?: object; manifest?: object } = {},
): TestImage {
  const types = TYPES[options.flavour ?? 'oci'];
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: { Cmd: ['/bin/true'], ...options.config },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
      ...options.top,
    }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: types.manifest,
      config: { mediaType: types.config, digest: digestOf(config), size: config.byteLength },
      layers: layers.map(({ mediaType, digest, bytes }) => ({ mediaType, digest, size: bytes.byteLength })),
      ...options.manifest,
    }),
  );
  return { layers, config, manifest, mediaType: types.manifest };
}

/** An index over manifests, each with its platform. */
export function indexOf(
  entries: readonly { readonly bytes: Uint8Array; readonly mediaType: string; readonly platform?: object }[],
  flavour: Flavour = 'oci',
): { readonly bytes: Uint8Array; readonly mediaType: string } {
  const mediaType = TYPES[flavour].index;
  const manifests = entries.map(({ bytes, mediaType: type, platform }) => ({
    mediaType: type,
    digest: digestOf(bytes),
    size: bytes.byteLength,
    ...(platform === undefined ? {} : { platform }),
  }));
  return { bytes: Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests })), mediaType };
}
