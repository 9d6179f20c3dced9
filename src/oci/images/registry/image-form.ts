/**
 * Turns a manifest of any kind into layers, a config and an image id. The config of an image is fetched. The config of
 * a schema 1 manifest is derived from it. An artifact gets an empty config, and its files become layers.
 */
import { createHash } from 'node:crypto';
import { ByteBlocks } from '../../../base/byte-blocks.ts';
import { fail } from '../../../base/fault.ts';
import { parseDigest, parseImageId, type Digest, type ImageId } from '../../../base/ids.ts';
import { imageLimits } from '../../bounds.ts';
import type { ClockPort } from '../../../ports/clock.ts';
import { fileLayerId } from '../model/artifact.ts';
import {
  checkLayerCount,
  emptyImageConfig,
  parseImageConfig,
  type ParsedImageConfig,
} from '../model/image-config.ts';
import {
  compressionOf,
  mediaTypes,
  type ArtifactManifest,
  type Descriptor,
  type ImageManifest,
  type LayerDescriptor,
  type Manifest,
} from '../model/manifest.ts';
import { formatPlatform, type Platform } from '../model/platform.ts';
import { schema1Config, type Schema1Manifest } from '../model/schema1.ts';
import { fetchBlob } from './blob.ts';
import { measureLayer } from './legacy-layer.ts';
import type { RegistrySession } from './session.ts';

export interface ImageForm {
  readonly manifest: ImageManifest;
  readonly configBytes: Uint8Array;
  readonly config: ParsedImageConfig;
  readonly imageId: ImageId;
  /** Path of the file in each layer of an artifact, in the order of the layers; undefined for an image. */
  readonly files: readonly string[] | undefined;
}

export interface FormInput {
  readonly session: RegistrySession;
  /** The manifest's digest. */
  readonly digest: Digest;
  readonly manifest: Manifest;
  /** The platform that the config must state, if no index entry stated it; undefined otherwise. */
  readonly wanted: Platform | undefined;
  readonly clock: ClockPort;
  readonly signal: AbortSignal;
  /** Start of messages: `pull …`. */
  readonly pull: string;
}

/** @throws FaultError that names the pull and the config or the layer */
export function imageForm(input: FormInput): Promise<ImageForm> {
  const { manifest } = input;
  if (manifest.kind === 'artifact') return Promise.resolve(artifactForm(input.digest, manifest));
  return manifest.kind === 'schema1' ? schema1Form(input, manifest) : plainForm(input, manifest);
}

async function plainForm(input: FormInput, manifest: ImageManifest): Promise<ImageForm> {
  const attempted = `${input.pull}: config ${manifest.config.digest}`;
  return withConfig(input, manifest, await smallBlob(input, manifest.config, attempted), attempted);
}

async function schema1Form(input: FormInput, legacy: Schema1Manifest): Promise<ImageForm> {
  const { session, signal, pull } = input;
  const known = new Map<Digest, LayerDescriptor & { readonly diffId: Digest }>();
  const layers: (LayerDescriptor & { readonly diffId: Digest })[] = [];
  let left = imageLimits.legacyBytes;
  // one after another: this reads layers only to measure them, and they are downloaded again later
  for (const blob of legacy.blobs) {
    let layer = known.get(blob);
    if (layer === undefined) {
      const { tarBytes, ...measured } = await measureLayer(session, blob, left, signal, pull);
      left -= tarBytes;
      layer = { ...measured, compression: compressionOf(measured.mediaType) ?? 'none' };
      known.set(blob, layer);
    }
    layers.push(layer);
  }
  const attempted = `${pull}: config of a manifest of schema 1`;
  const configBytes = schema1Config(
    legacy,
    layers.map(({ diffId }) => diffId),
    attempted,
  );
  const config = {
    mediaType: mediaTypes.dockerConfig,
    digest: sha256(configBytes),
    size: configBytes.byteLength,
  };
  const manifest: ImageManifest = {
    kind: 'manifest',
    mediaType: legacy.mediaType,
    config,
    layers,
    annotations: {},
  };
  return withConfig(input, manifest, configBytes, attempted);
}

function withConfig(
  input: FormInput,
  manifest: ImageManifest,
  configBytes: Uint8Array,
  attempted: string,
): ImageForm {
  const config = parseImageConfig(configBytes, attempted);
  checkLayerCount(config, manifest.layers.length, attempted);
  checkPlatform(config, input.wanted, attempted);
  const imageId =
    parseImageId(manifest.config.digest) ?? fail('bug', `${attempted}: its digest is not an image id`);
  return { manifest, configBytes, config, imageId, files: undefined };
}

/** An artifact's id is the digest of its manifest, because many artifacts share one empty config. */
function artifactForm(digest: Digest, artifact: ArtifactManifest): ImageForm {
  const { mediaType, config, files, annotations } = artifact;
  const layers = files.map((file): LayerDescriptor => ({
    mediaType: file.mediaType,
    digest: file.digest,
    size: file.size,
    compression: 'none',
  }));
  return {
    manifest: { kind: 'manifest', mediaType, config, layers, annotations },
    configBytes: new Uint8Array(),
    config: emptyImageConfig(files.map((file) => fileLayerId(file.path, file.digest))),
    imageId: parseImageId(digest) ?? fail('bug', `manifest ${digest}: its digest is not an image id`),
    files: files.map(({ path }) => path),
  };
}

async function smallBlob(
  { session, signal, clock }: FormInput,
  descriptor: Descriptor,
  attempted: string,
): Promise<Uint8Array> {
  const kept = new ByteBlocks(attempted, imageLimits.documentBytes);
  const sink = { write: (piece: Uint8Array): void => kept.appendCopy(piece) };
  await fetchBlob([session], { descriptor, sink, signal, attempted }, clock);
  return kept.takeAll();
}

/** The digest of a document. */
export function sha256(bytes: Uint8Array): Digest {
  const digest = parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`);
  return digest ?? fail('bug', 'a computed sha256 does not parse as a digest');
}

/**
 * Refuses a config for another platform. As in the peers, a platform in the index overrides the config: cross-compiling
 * builders often leave their own architecture in the config (cilium's arm64 images said amd64), or none. If the index
 * entry states no platform, the config must match this machine, except for the variant, which builders often omit. An
 * image that was requested without an index is accepted for any architecture, but only for Linux.
 */
function checkPlatform(config: ParsedImageConfig, wanted: Platform | undefined, attempted: string): void {
  const offered = { os: config.os, architecture: config.architecture, variant: '' };
  if (config.os !== '' && config.os !== 'linux')
    fail('unsupported', `${attempted}: the image is for ${config.os}, not linux`);
  if (wanted === undefined || (config.os === wanted.os && config.architecture === wanted.architecture))
    return;
  fail(
    'outside',
    `${attempted}: the image is for ${formatPlatform(offered) || 'an unknown platform'}, this machine is ${formatPlatform(wanted)}, and the index states no platform`,
  );
}
