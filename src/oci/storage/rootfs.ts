/** Writable root file systems of containers: overlayfs over layers of the store. */
import { chmod, chown, lstat, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RootfsInput } from '../../actors/ports/storage.ts';
import { fail } from '../../base/fault.ts';
import type { ContainerId, Digest } from '../../base/ids.ts';
import { storageLimits } from '../../base/limits.ts';
import { codeOf } from '../../host/errno.ts';
import { mountOverlay, unmount } from '../../host/mounts.ts';
import { layerDiff } from './layer-layout.ts';
import type { LayerStore } from './layer-store.ts';

const PRIVATE_MODE = 0o700;
/** The container's `/` where no layer says anything about it. */
const ROOT_MODE = 0o755;

export interface RootfsPaths {
  readonly dir: string;
  readonly upper: string;
  readonly work: string;
  /** The one lower directory of an image without layers (S56). */
  readonly empty: string;
  /** Where it is mounted. */
  readonly rootfs: string;
}

/** The same place as host/layout.ts names with `storageDir` and `rootfs`. */
export function rootfsPaths(store: LayerStore, id: ContainerId): RootfsPaths {
  const dir = join(store.paths.containers, id);
  return { dir, upper: join(dir, 'upper'), work: join(dir, 'work'), empty: join(dir, 'empty'), rootfs: join(dir, 'rootfs') };
}

/** Mounts it; succeeds when it is mounted already. */
export async function mountRootfs(store: LayerStore, input: RootfsInput): Promise<void> {
  await store.prepare();
  const paths = rootfsPaths(store, input.id);
  if (await isMounted(paths)) return;
  const attempted = `mount root file system of container ${input.id}`;
  const lower = await lowerDirectories(store, input.layers, attempted);
  await makeDirectories(paths, lower[0]);
  await mountOverlay({
    target: paths.rootfs,
    lower: lower.length === 0 ? [paths.empty] : lower,
    upper: paths.upper,
    work: paths.work,
    source: 'overlay',
    options: [
      // no sync of the whole disk at unmount: what a container wrote is not meant to survive a power loss, since no
      // container does (measured: docs in README of this directory)
      ['volatile', true],
      // with an index a leftover upper can't be used over other lowers; the peers turn it off as well
      ['index', 'off'],
      // a copied-up file is a whole file: nothing in an upper points into a layer
      ['metacopy', 'off'],
    ],
  });
}

/**
 * Layers as overlayfs wants them, from the top down. A layer that occurs twice (builders repeat the empty one) stands
 * once, at its highest place: overlayfs refuses the same directory twice, and what the lower one shows the higher one
 * shows as well. Below a layer that hides everything there is nothing to be seen.
 */
async function lowerDirectories(store: LayerStore, layers: readonly Digest[], attempted: string): Promise<string[]> {
  const wanted = [...new Set(layers.toReversed())];
  if (wanted.length > storageLimits.lowers) {
    fail('unsupported', `${attempted}: ${wanted.length} layers, the kernel stacks at most ${storageLimits.lowers}`);
  }
  const lower: string[] = [];
  const records = await Promise.all(wanted.map((diffId) => store.record(diffId)));
  for (const [at, diffId] of wanted.entries()) {
    const record = records[at];
    if (record === undefined) fail('notFound', `${attempted}: layer ${diffId} is not in the store`, { subject: diffId });
    lower.push(layerDiff(store.paths, diffId));
    // a missing layer below would still be an image that is not whole, but nothing of it is used
    if (record.rootOpaque) break;
  }
  return lower;
}

async function makeDirectories(paths: RootfsPaths, top: string | undefined): Promise<void> {
  await mkdir(paths.dir, { recursive: true, mode: PRIVATE_MODE });
  // overlayfs refuses the work directory of an earlier volatile mount (work/incompat/volatile); it holds nothing of use
  await rm(paths.work, { recursive: true, force: true });
  for (const path of [paths.upper, paths.work, paths.empty, paths.rootfs]) await mkdir(path, { recursive: true, mode: PRIVATE_MODE });
  await chmod(paths.empty, ROOT_MODE);
  // the merged root has the attributes of the uppermost directory: without this `/` would be closed to all but root
  const root = top === undefined ? undefined : await lstat(top);
  await chown(paths.upper, root?.uid ?? 0, root?.gid ?? 0);
  await chmod(paths.upper, root === undefined ? ROOT_MODE : root.mode & 0o7777);
}

/** Unmounts it; succeeds when it is not mounted. */
export async function unmountRootfs(store: LayerStore, id: ContainerId): Promise<void> {
  const { rootfs } = rootfsPaths(store, id);
  for (let mounts = 0; mounts < storageLimits.stackedMounts; mounts += 1) {
    if (!(await unmountOnce(rootfs))) return;
  }
  fail('outside', `unmount ${rootfs}: more than ${storageLimits.stackedMounts} mounts lie on it`, { subject: rootfs });
}

async function unmountOnce(rootfs: string): Promise<boolean> {
  try {
    return await unmount(rootfs);
  } catch (error) {
    if (codeOf(error) !== 'EBUSY') throw error;
  }
  // Somebody has a file open in there, or another mount namespace a copy: it goes away with them, the name at once.
  return unmount(rootfs, { lazy: true });
}

/** Unmounts it and takes away all that the container wrote. */
export async function removeRootfs(store: LayerStore, id: ContainerId): Promise<void> {
  await unmountRootfs(store, id);
  await store.discard(rootfsPaths(store, id).dir);
}

/** A mount shows as a change of device between a directory and its parent. */
async function isMounted(paths: RootfsPaths): Promise<boolean> {
  try {
    const [dir, rootfs] = await Promise.all([lstat(paths.dir), lstat(paths.rootfs)]);
    return dir.dev !== rootfs.dev;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
