/**
 * Writes an image of the layer store as a layout or an archive. Config, manifest and layers are built anew
 * (layer-tar.ts).
 */
import { createHash } from 'node:crypto';
import { closeSync, createWriteStream } from 'node:fs';
import { rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { ImageRecord } from '../../../ports/specs.ts';
import { fail } from '../../../base/fault.ts';
import { parseDigest, type Digest } from '../../../base/ids.ts';
import { mediaTypes, type Descriptor } from '../model/manifest.ts';
import { layerDiff, layerDir } from '../store/records/layer-layout.ts';
import type { StorePaths } from '../store/records/layer-layout.ts';
import { readLayerRecord, type LayerRecord } from '../store/records/layer-record.ts';
import { openOwnDirectory } from '../../trees/own-directory.ts';
import { layerTar } from './layer-tar.ts';

export interface ExportedImage {
  readonly config: Descriptor;
  readonly manifest: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly Digest[];
}

export interface ExportOptions {
  /** The layer stores to read from, the node's own first. */
  readonly stores: readonly Pick<StorePaths, 'layers'>[];
  /** An empty directory. Each blob is written into it under the name that `nameOf` returns. */
  readonly directory: string;
  readonly nameOf: (digest: Digest) => string;
  /** Compress layers with gzip. Docker's archives hold uncompressed tars. */
  readonly compress: boolean;
  readonly flavour: 'oci' | 'docker';
  readonly signal: AbortSignal;
}

const TYPES = {
  oci: {
    config: mediaTypes.ociConfig,
    manifest: mediaTypes.ociManifest,
    plain: 'application/vnd.oci.image.layer.v1.tar',
    gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    config: mediaTypes.dockerConfig,
    manifest: mediaTypes.dockerManifest,
    plain: 'application/vnd.docker.image.rootfs.diff.tar',
    gzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const;

/**
 * Writes config, manifest and layers. Throws `unsupported` for an artifact, `notFound` when a layer is missing or
 * incomplete.
 */
export async function exportImage(image: ImageRecord, options: ExportOptions): Promise<ExportedImage> {
  const types = TYPES[options.flavour];
  if (image.layers.some(({ file }) => file !== undefined)) {
    fail('unsupported', `export ${image.id}: it is an artifact, whose manifest is not stored`, {
      subject: image.id,
    });
  }
  const layers: Descriptor[] = [];
  const diffIds: Digest[] = [];
  for (const { diffId } of image.layers) {
    const { digest, size, diffId: own } = await writeLayer(diffId, options);
    layers.push({ mediaType: options.compress ? types.gzip : types.plain, digest, size });
    diffIds.push(own);
  }
  const config = await writeDocument(configOf(image, diffIds), types.config, options);
  const manifest = await writeDocument(
    { schemaVersion: 2, mediaType: types.manifest, config, layers },
    types.manifest,
    options,
  );
  return { config, manifest, layers, diffIds };
}

/** The part of the config that containers use. The build history is not stored, so the copy has none. */
function configOf({ config }: ImageRecord, diffIds: readonly Digest[]): object {
  const { architecture, os, user, env, entrypoint, cmd, workingDir, stopSignal, volumes, labels } = config;
  const run = {
    ...(user === '' ? {} : { User: user }),
    ...(env.length === 0 ? {} : { Env: env }),
    ...(entrypoint.length === 0 ? {} : { Entrypoint: entrypoint }),
    ...(cmd.length === 0 ? {} : { Cmd: cmd }),
    ...(volumes.length === 0 ? {} : { Volumes: Object.fromEntries(volumes.map((path) => [path, {}])) }),
    ...(workingDir === '' ? {} : { WorkingDir: workingDir }),
    ...(Object.keys(labels).length === 0 ? {} : { Labels: labels }),
    ...(stopSignal === '' ? {} : { StopSignal: stopSignal }),
  };
  return { architecture, os, config: run, rootfs: { type: 'layers', diff_ids: diffIds } };
}

async function writeDocument(
  value: object,
  mediaType: string,
  { directory, nameOf }: ExportOptions,
): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(value));
  const digest = digestOf(createHash('sha256').update(bytes).digest('hex'));
  await writeFile(join(directory, nameOf(digest)), bytes);
  return { mediaType, digest, size: bytes.length };
}

interface WrittenLayer {
  readonly digest: Digest;
  readonly diffId: Digest;
  readonly size: number;
}

/** Writes one layer's blob. The diff-id is computed from the new tar and differs from the one in the store. */
async function writeLayer(
  diffId: Digest,
  { stores, directory, nameOf, compress, signal }: ExportOptions,
): Promise<WrittenLayer> {
  const found = await findLayer(stores, diffId);
  const root = openOwnDirectory(layerDiff(found.paths, diffId));
  const partial = join(directory, 'layer.partial');
  const [inner, outer] = [createHash('sha256'), createHash('sha256')];
  try {
    const tar = Readable.from(tapped(layerTar(root, found.record.rootOpaque), inner));
    const blob = new Transform({
      transform: (piece: Buffer, _encoding, done) => {
        outer.update(piece);
        done(null, piece);
      },
    });
    const file = createWriteStream(partial, { flags: 'wx' });
    await (compress
      ? pipeline(tar, createGzip(), blob, file, { signal })
      : pipeline(tar, blob, file, { signal }));
  } finally {
    closeSync(root);
  }
  // a removal renames the layer before it deletes files: a layer that still has its name was complete while it was read
  await findLayer([found.paths], diffId);
  const digest = digestOf(outer.digest('hex'));
  const { size } = await stat(partial);
  await rename(partial, join(directory, nameOf(digest)));
  return { digest, diffId: digestOf(inner.digest('hex')), size };
}

function* tapped(
  pieces: Iterable<Buffer>,
  hash: ReturnType<typeof createHash>,
): Generator<Buffer, void, void> {
  for (const piece of pieces) {
    hash.update(piece);
    yield piece;
  }
}

/** Finds the layer in the first store that has it. Throws `notFound` when no store has the complete layer. */
async function findLayer(
  stores: ExportOptions['stores'],
  diffId: Digest,
): Promise<{ readonly paths: Pick<StorePaths, 'layers'>; readonly record: LayerRecord }> {
  const attempted = `export layer ${diffId}`;
  for (const paths of stores) {
    const record = await readLayerRecord(layerDir(paths, diffId), diffId, (call) => call());
    if (record === undefined) continue;
    if (record.imageBytes !== undefined)
      fail(
        'unsupported',
        `${attempted}: stored as an erofs image by the storage driver erofs, which export cannot read`,
        { subject: diffId },
      );
    return { paths, record };
  }
  return fail('notFound', `${attempted}: not found or incomplete; pull the image again`, {
    subject: diffId,
  });
}

function digestOf(hex: string): Digest {
  return parseDigest(`sha256:${hex}`) ?? fail('bug', `${hex} is not a sha256 digest`);
}
