/** Copies layers into a tree, and mounts trees as a container's root or an image volume. */
import { chmod, mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import {
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_RDONLY,
} from '../../../../host/ffi/constants.ts';
import { isThere } from '../../../../host/files/is-there.ts';
import { attachMount, mountBind } from '../../../../host/mounts/mounts.ts';
import { idmappedTree } from '../../../../host/mounts/userns-idmap.ts';
import { DIFF } from '../records/layer-layout.ts';
import { PRIVATE_MODE, ROOT_MODE } from './modes.ts';
import type { DriverHost, FlattenRequest, RootfsOwners, StoredLayer } from './rootfs-driver.ts';

/** The directories with the layers' unpacked files, lowest first. */
export function unpackedLayers(layers: readonly StoredLayer[]): string[] {
  return layers.map(({ dir }) => join(dir, DIFF)).toReversed();
}

/**
 * Copies the layers to `target`. The copy is created in `work` and renamed, so that an unfinished copy is never used.
 */
export async function copyTree(
  host: DriverHost,
  layers: readonly StoredLayer[],
  target: string,
  work: string,
  label: string | undefined,
): Promise<void> {
  if (await isThere(target)) return;
  // left by a daemon that was killed
  await host.discard(work);
  await mkdir(work, { mode: PRIVATE_MODE });
  const tree = join(work, 'tree');
  await mkdir(tree);
  // mkdir applies the umask
  await chmod(tree, ROOT_MODE);
  const request: FlattenRequest = {
    layers: unpackedLayers(layers),
    target: tree,
    scratch: join(work, 'links'),
  };
  await host.flatten(label === undefined ? request : { ...request, label });
  await rename(tree, target);
}

/**
 * Bind-mounts a tree, with ids mapped for a user namespace if `owners` is given. An image is mounted read-only and
 * noexec.
 */
export async function showTree(
  tree: string,
  target: string,
  owners: RootfsOwners | undefined,
  isImage: boolean,
): Promise<void> {
  if (owners === undefined) {
    await mountBind({
      source: tree,
      target,
      ...(isImage ? { readOnly: true, nosuid: true, nodev: true, noexec: true } : {}),
    });
    return;
  }
  const attributes = isImage
    ? MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    : 0;
  await attachMount(await idmappedTree(tree, owners.pin, attributes), 'mount tree at', target);
}
