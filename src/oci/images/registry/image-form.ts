/**
 * What a manifest of any kind is pulled as: layers, their config and the image's id. An image's config is fetched; a
 * manifest of schema 1 gets the one that it implies; an artifact has none, and its files count as layers.
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
import type { Session } from './session.ts';

export interface ImageForm {
  readonly manifest: ImageManifest;
  readonly configBytes: Uint8Array;
  readonly config: ParsedImageConfig;
  readonly imageId: ImageId;
  /** Paths of the files that an artifact's layers are, in their order; undefined for an image. */
  readonly files: readonly string[] | undefined;
}

export interface FormInput {
  readonly session: Session;
  /** Of this very manifest. */
  readonly digest: Digest;
  readonly manifest: Manifest;
  /** What its config has to be for, where nothing that led here says for which machine it is; undefined otherwise. */
  readonly wanted: Platform | undefined;
  readonly clock: ClockPort;
  readonly signal: AbortSignal;
  /** First words of messages: `pull …`. */
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
  // one after the other: what is learnt is a few numbers, and the layers come once more
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
    parseImageId(manifest.config.digest) ?? fail('bug', `${attempted}: its digest is no image id`);
  return { manifest, configBytes, config, imageId, files: undefined };
}

/** Its id is the manifest's digest: many artifacts share one empty config. */
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
    imageId: parseImageId(digest) ?? fail('bug', `manifest ${digest}: its digest is no image id`),
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
  return digest ?? fail('bug', 'a sha256 that is no digest');
}

/**
 * What an index says of a machine counts, as with the peers: builders that cross-compile often leave their own machine's
 * name in the config (cilium's arm64 images said amd64), or none. Behind an entry that says nothing the config must be for
 * the machine; the variant is not compared, since builders often leave it out. An image asked for by itself is what the
 * caller wants, whatever its architecture; a system other than Linux has nothing that runs here.
 */
function checkPlatform(config: ParsedImageConfig, wanted: Platform | undefined, attempted: string): void {
  const offered = { os: config.os, architecture: config.architecture, variant: '' };
  if (config.os !== '' && config.os !== 'linux')
    fail('unsupported', `${attempted}: it is for ${config.os}, not linux`);
  if (wanted === undefined || (config.os === wanted.os && config.architecture === wanted.architecture))
    return;
  fail(
    'outside',
    `${attempted}: it is for ${formatPlatform(offered) || 'an unstated machine'}, and the index does not say for which; this is ${formatPlatform(wanted)}`,
  );
}
