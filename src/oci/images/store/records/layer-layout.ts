/**
 * The layer store's directories, below one root of mode 0700, or below two where the images have a root of their own:
 *
 *   layers/<hex of diff-id>/{diff/, layer.json}   whole and durable; the record is written before the name appears
 *   chains/<name>/                                trees that a driver made of several layers (btrfs)
 *   partial/<random>/{diff/, layer.json}          being unpacked, by this process or one that died
 *   ingest/<hex of blob's digest>[.<source>]      the beginning of a blob that is or was being downloaded; not synced
 *   trash/<random>                                renamed away, being deleted
 *   storage-driver                                the name of the driver whose store it is
 *
 *   containers/<id>/{upper/, work/, rootfs/}      what a container writes, and where its root is mounted
 *   trash/, storage-driver                        as above, where this root is another one
 */
import { join } from 'node:path';
import type { ContainerId, Digest } from '../../../../base/ids.ts';
import { hexOf } from '../../../../base/ids.ts';

export interface StorePaths {
  /** Of the images. */
  readonly root: string;
  readonly layers: string;
  readonly chains: string;
  readonly partial: string;
  readonly ingest: string;
  readonly trash: string;
  /** Of the containers; the same as `root` where the images have no root of their own. */
  readonly containersRoot: string;
  readonly containers: string;
  /** A rename ends at the edge of a file system, so that each root has a trash of its own. */
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
/** In place of `diff/` in a store of the driver erofs: the layer as a file system. */
export const IMAGE = 'layer.erofs';
/** Where that is mounted. */
export const IMAGE_MOUNT = 'tree';

/** The file in a store's root that names its driver. */
export const DRIVER_MARK = 'storage-driver';

/** The layer's directory. */
export function layerDir(paths: Pick<StorePaths, 'layers'>, diffId: Digest): string {
  return join(paths.layers, hexOf(diffId));
}

/** What overlayfs gets as a lower directory. */
export function layerDiff(paths: Pick<StorePaths, 'layers'>, diffId: Digest): string {
  return join(paths.layers, hexOf(diffId), DIFF);
}

export interface RootfsPaths {
  readonly dir: string;
  /** What the container wrote; with drivers that copy, its whole tree. */
  readonly upper: string;
  readonly work: string;
  /** The one lower directory of an image without layers (S56). */
  readonly empty: string;
  /** Where it is mounted. */
  readonly rootfs: string;
  /** Where the layers lie with other owners while an older kernel mounts a user namespace's root. */
  readonly lower: string;
  /** One directory for each image that the container has as a volume. */
  readonly volumes: string;
  /** What drivers that copy make of those images. */
  readonly trees: string;
}

/** The same place as host/sandbox/layout.ts names with `storageDir` and `rootfs`. */
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
