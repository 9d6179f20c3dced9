/** An image of the layer store written as a layout or an archive: config, manifest and layers made anew, see layer-tar.ts. */
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
import { mediaTypes } from '../model/manifest.ts';
import { layerDiff, layerDir } from '../store/records/layer-layout.ts';
import type { StorePaths } from '../store/records/layer-layout.ts';
import { readLayerRecord, type LayerRecord } from '../store/records/layer-record.ts';
import { openOwnDirectory } from '../../trees/own-directory.ts';
import { layerTar } from './layer-tar.ts';

export interface Part {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
}

export interface ExportedImage {
  readonly config: Part;
  readonly manifest: Part;
  readonly layers: readonly Part[];
  readonly diffIds: readonly Digest[];
}

export interface ExportOptions {
  /** Where layers lie, the node's own store first. */
  readonly stores: readonly Pick<StorePaths, 'layers'>[];
  /** An empty directory, into which each blob is written under the name that `nameOf` gives it. */
  readonly directory: string;
  readonly nameOf: (digest: Digest) => string;
  /** Docker's archives hold tars as they are. */
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

/** Writes config, manifest and layers. Throws `unsupported` for an artifact, `notFound` when a layer is not here whole. */
export async function exportImage(image: ImageRecord, options: ExportOptions): Promise<ExportedImage> {
  const types = TYPES[options.flavour];
  if (image.layers.some(({ file }) => file !== undefined)) {
    fail('unsupported', `export ${image.id}: it is an artifact, whose manifest is not kept`, {
      subject: image.id,
    });
  }
  const layers: Part[] = [];
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

/** What the image's own config says of containers; when and how it was built is not kept. */
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
): Promise<Part> {
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

async function writeLayer(
  diffId: Digest,
  { stores, directory, nameOf, compress, signal }: ExportOptions,
): Promise<WrittenLayer> {
  const found = await whole(stores, diffId);
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
  // a removal renames the layer first and deletes its files then: one that still has its name was whole all the time
  await whole([found.paths], diffId);
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

/** The layer in the first store that has it; throws when none has it whole. */
async function whole(
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
        `${attempted}: the storage driver erofs keeps it as a file system, which is not read`,
        { subject: diffId },
      );
    return { paths, record };
  }
  return fail('notFound', `${attempted}: it is not here, or not whole; pull the image again`, {
    subject: diffId,
  });
}

function digestOf(hex: string): Digest {
  return parseDigest(`sha256:${hex}`) ?? fail('bug', `${hex} is no digest`);
}
