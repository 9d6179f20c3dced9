// Images made from parts at hand, without any image tool. OCI image-spec v1.1 (manifest.md, config.md, layer.md).
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { type TarEntry, tarOf } from './tar.ts';

export interface Blob {
  readonly mediaType: string;
  /** `sha256:…` of `bytes`. */
  readonly digest: string;
  readonly bytes: Buffer;
}

export interface Layer {
  readonly blob: Blob;
  /** Digest of the tar file before compression. */
  readonly diffId: string;
}

/** The `config` object of an image config: what a container made from the image runs as. */
export interface RunConfig {
  readonly User?: string;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly WorkingDir?: string;
  readonly StopSignal?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
}

export interface Image {
  readonly manifest: Blob;
  readonly config: Blob;
  readonly layers: readonly Layer[];
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const blobOf = (mediaType: string, bytes: Buffer): Blob => ({ mediaType, digest: digestOf(bytes), bytes });
const jsonBlob = (mediaType: string, value: object): Blob =>
  blobOf(mediaType, Buffer.from(JSON.stringify(value)));
const descriptor = ({ mediaType, digest, bytes }: Blob): object => ({
  mediaType,
  digest,
  size: bytes.length,
});

/**
 * A layer with these entries. Without compression its digest is the same with every version of zlib.
 */
export function layerOf(entries: readonly TarEntry[], compression: 'gzip' | 'none' = 'gzip'): Layer {
  const tar = tarOf(entries);
  const blob =
    compression === 'gzip'
      ? blobOf('application/vnd.oci.image.layer.v1.tar+gzip', gzipSync(tar))
      : blobOf('application/vnd.oci.image.layer.v1.tar', tar);
  return { blob, diffId: digestOf(tar) };
}

/**
 * An OCI image with these layers, lowest first; annotations go into its manifest.
 * @param arch as Node names it; without it, this machine's
 */
export function imageOf(
  config: RunConfig,
  layers: readonly Layer[],
  annotations?: Readonly<Record<string, string>>,
  arch: string = process.arch,
): Image {
  const configBlob = jsonBlob('application/vnd.oci.image.config.v1+json', {
    created: '1970-01-01T00:00:00Z',
    architecture: arch === 'x64' ? 'amd64' : arch,
    os: 'linux',
    config: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], ...config },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
  });
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = jsonBlob(manifestType, {
    schemaVersion: 2,
    mediaType: manifestType,
    config: descriptor(configBlob),
    layers: layers.map((layer) => descriptor(layer.blob)),
    ...(annotations === undefined ? {} : { annotations }),
  });
  return { manifest, config: configBlob, layers };
}
