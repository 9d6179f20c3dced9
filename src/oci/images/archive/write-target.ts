/**
 * Writes an exported image to its target. The target gets its name once it is complete; an existing file is never
 * replaced.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ImageRecord } from '../../../ports/specs.ts';
import { fail } from '../../../base/fault.ts';
import { hexOf, type Digest } from '../../../base/ids.ts';
import { isThere } from '../../../host/files/is-there.ts';
import type { StorePaths } from '../store/records/layer-layout.ts';
import { exportImage, type ExportedImage } from './export-image.ts';
import { parseLocation, type Location, type ImageTransport } from './image-source.ts';
import { endOfArchive, headerOf, paddingAfter } from './tar-header-bytes.ts';

export interface Export {
  readonly image: ImageRecord;
  /** Full reference to record in the copy; empty to record none. */
  readonly name: string;
  readonly target: Location;
  /** The layer stores to read from. */
  readonly stores: readonly Pick<StorePaths, 'layers'>[];
  readonly signal: AbortSignal;
}

/**
 * Parses `transport:path[:choice]`. A path without a transport is an OCI archive if it ends with `.tar`, else an OCI
 * layout.
 */
export function parseTarget(text: string): Location {
  if (text === '') fail('invalidRequest', 'export: the target is empty');
  return (
    parseLocation(text) ?? {
      transport: text.endsWith('.tar') ? 'oci-archive' : 'oci',
      path: resolve(text),
      choice: '',
    }
  );
}

/** Writes the image. Throws `conflict` when the target exists, `exhausted` when the disk is full. */
export async function writeTarget(wanted: Export): Promise<ExportedImage> {
  const { path, transport } = wanted.target;
  if (await isThere(path))
    fail('conflict', `export to ${path}: the target exists, and export does not replace it`);
  const stage = await mkdtemp(join(dirname(path), '.troupe-export-'));
  try {
    const written = await WRITERS[transport](wanted, stage);
    // mkdtemp creates the directory with 0700; the target gets the usual mode
    await chmod(stage, 0o755);
    if (transport === 'oci' || transport === 'dir') await rename(stage, path);
    else await pack(stage, path, wanted.signal);
    return written;
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}

type Writer = (wanted: Export, stage: string) => Promise<ExportedImage>;

const WRITERS: Readonly<Record<ImageTransport, Writer>> = {
  oci: writeLayout,
  'oci-archive': writeLayout,
  'docker-archive': writeDocker,
  dir: writeDir,
};

/**
 * Writes an OCI image layout 1.0.0. `ref.name` holds the tag; containerd and Docker read the full name from their
 * annotation.
 */
async function writeLayout(
  { image, name, target, stores, signal }: Export,
  stage: string,
): Promise<ExportedImage> {
  const directory = join(stage, 'blobs', 'sha256');
  await mkdir(directory, { recursive: true, mode: 0o755 });
  const written = await exportImage(image, {
    stores,
    directory,
    nameOf: hexOf,
    compress: true,
    flavour: 'oci',
    signal,
  });
  const short = target.choice !== '' ? target.choice : tagOf(name);
  const annotations = {
    ...(name === '' ? {} : { 'io.containerd.image.name': name }),
    ...(short === '' ? {} : { 'org.opencontainers.image.ref.name': short }),
  };
  const { architecture, os } = image.config;
  const entry = {
    ...written.manifest,
    platform: { architecture, os },
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
  await writeFile(join(stage, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(
    join(stage, 'index.json'),
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [entry],
    }),
  );
  return written;
}

/** Writes the format of `docker save`. */
async function writeDocker(
  { image, name, target, stores, signal }: Export,
  stage: string,
): Promise<ExportedImage> {
  const fileOf = (digest: Digest): string => `${hexOf(digest)}.tar`;
  const written = await exportImage(image, {
    stores,
    directory: stage,
    nameOf: fileOf,
    compress: false,
    flavour: 'docker',
    signal,
  });
  const config = `${hexOf(written.config.digest)}.json`;
  await rename(join(stage, fileOf(written.config.digest)), join(stage, config));
  await rm(join(stage, fileOf(written.manifest.digest)));
  const tag = target.choice !== '' ? target.choice : name;
  const document = [
    {
      Config: config,
      RepoTags: tag === '' ? null : [tag],
      Layers: written.layers.map(({ digest }) => fileOf(digest)),
    },
  ];
  await writeFile(join(stage, 'manifest.json'), JSON.stringify(document));
  return written;
}

/** Writes skopeo's `dir:` format. */
async function writeDir({ image, stores, signal }: Export, stage: string): Promise<ExportedImage> {
  const written = await exportImage(image, {
    stores,
    directory: stage,
    nameOf: hexOf,
    compress: true,
    flavour: 'oci',
    signal,
  });
  await rename(join(stage, hexOf(written.manifest.digest)), join(stage, 'manifest.json'));
  await writeFile(join(stage, 'version'), 'Directory Transport Version: 1.1\n');
  return written;
}

function tagOf(name: string): string {
  const colon = name.lastIndexOf(':');
  return colon > name.lastIndexOf('/') ? name.slice(colon + 1) : '';
}

/** Packs everything below `stage` into one tar, sorted by name. */
async function pack(stage: string, path: string, signal: AbortSignal): Promise<void> {
  const partial = `${stage}.tar`;
  try {
    await pipeline(Readable.from(packed(stage, '')), createWriteStream(partial, { flags: 'wx' }), { signal });
    const file = await open(partial, 'r');
    try {
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } finally {
    await rm(partial, { force: true });
  }
}

/** Attributes that all entries of an exported archive share: root's, without a time. */
const COMMON = {
  linkName: '',
  uid: 0,
  gid: 0,
  mtimeNs: 0n,
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: [],
} as const;

async function* packed(stage: string, prefix: string): AsyncGenerator<Buffer, void, void> {
  for (const entry of (await readdir(join(stage, prefix), { withFileTypes: true })).toSorted((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    const name = `${prefix}${entry.name}`;
    if (entry.isDirectory()) {
      yield headerOf({ ...COMMON, type: 'directory', name: `${name}/`, mode: 0o755, size: 0 });
      yield* packed(stage, `${name}/`);
      continue;
    }
    const { size } = await stat(join(stage, name));
    yield headerOf({ ...COMMON, type: 'file', name, mode: 0o644, size });
    for await (const piece of createReadStream(join(stage, name))) yield piece as Buffer;
    yield paddingAfter(size);
  }
  if (prefix === '') yield endOfArchive();
}
