/**
 * Paths in the layer store. It has one root with mode 0700, or two if the images have a root of their own:
 *
 *   layers/<hex of diff-id>/{diff/, layer.json}   complete and durable; renamed here after the record is written
 *   chains/<name>/                                trees or mounts that a driver created from layers (btrfs, erofs)
 *   partial/<random>/{diff/, layer.json}          being unpacked, by this process or a killed one
 *   ingest/<hex of blob's digest>[.<source>]      the first bytes of a blob whose download is not complete; not synced
 *   trash/<random>                                moved here to be deleted
 *   storage-driver                                the name of the driver that uses the store
 *
 *   containers/<id>/{upper/, work/, rootfs/}      what a container writes, and where its root is mounted
 *   trash/, storage-driver                        as above, if this root is a separate one
 */
import { join } from 'node:path';
import type { ContainerId, Digest } from '../../../../base/ids.ts';
import { hexOf, parseDigest } from '../../../../base/ids.ts';

export interface StorePaths {
  /** Root of the images. */
  readonly root: string;
  readonly layers: string;
  readonly chains: string;
  readonly partial: string;
  readonly ingest: string;
  readonly trash: string;
  /** Root of the containers; equal to `root` if the images have no root of their own. */
  readonly containersRoot: string;
  readonly containers: string;
  /** Each root has its own trash, since a rename works only within a file system. */
  readonly containersTrash: string;
}

export function storePaths(root: string, containersRoot: string = root): StorePaths {
  return {
    root,
    layers: join(root, 'layers'),
    chains: join(root, 'chains'),
    partial: join(root, 'partial'),
    ingest: join(root, 'ingest'),
    trash: join(root, 'trash'),
    containersRoot,
    containers: join(containersRoot, 'containers'),
    containersTrash: join(containersRoot, 'trash'),
  };
}

/** Names inside a layer's directory. */
export const DIFF = 'diff';
export const RECORD = 'layer.json';
/** The layer as a file system image, in place of `diff/`, with the driver erofs. */
export const IMAGE = 'layer.erofs';

/** The file in a store's root that names its driver. */
export const DRIVER_MARK = 'storage-driver';

/** The layer's directory. */
export function layerDir(paths: Pick<StorePaths, 'layers'>, diffId: Digest): string {
  return join(paths.layers, hexOf(diffId));
}

/** The layer to which a path in the store belongs; undefined for a path of something else. */
export function layerOf({ layers }: Pick<StorePaths, 'layers'>, path: string): Digest | undefined {
  const [name = ''] = path.startsWith(`${layers}/`) ? path.slice(layers.length + 1).split('/') : [];
  return parseDigest(`sha256:${name}`);
}

/** The layer's files, as a lower directory for overlayfs. */
export function layerDiff(paths: Pick<StorePaths, 'layers'>, diffId: Digest): string {
  return join(paths.layers, hexOf(diffId), DIFF);
}

export interface RootfsPaths {
  readonly dir: string;
  /** What the container wrote; with drivers that copy, the whole tree. */
  readonly upper: string;
  readonly work: string;
  /** The one lower directory of an image without layers (S56). */
  readonly empty: string;
  /** Mount point of the root. */
  readonly rootfs: string;
  /** Mount points of ID-mapped layers, while an older kernel mounts the root for a user namespace. */
  readonly lower: string;
  /** Contains one directory for each image volume. */
  readonly volumes: string;
  /** Copies of those images, with drivers that copy. */
  readonly trees: string;
}

/** The paths of one container. host/sandbox/layout.ts has the same ones as `storageDir` and `rootfs`. */
export function rootfsPaths(paths: Pick<StorePaths, 'containers'>, id: ContainerId): RootfsPaths {
  const dir = join(paths.containers, id);
  const below = (name: string): string => join(dir, name);
  return {
    dir,
    upper: below('upper'),
    work: below('work'),
    empty: below('empty'),
    rootfs: below('rootfs'),
    lower: below('lower'),
    volumes: below('volumes'),
    trees: below('trees'),
  };
}
