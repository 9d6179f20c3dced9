/** Writable root file systems of containers: overlayfs over layers of the store. */
import { closeSync } from 'node:fs';
import { chmod, chown, lstat, mkdir, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { IdMapping, IdMappings, VolumeUse } from '../../actors/ports/specs.ts';
import type { RootfsInput } from '../../actors/ports/storage.ts';
import { fail } from '../../base/fault.ts';
import type { ContainerId, Digest } from '../../base/ids.ts';
import { storageLimits } from '../../base/limits.ts';
import { codeOf } from '../../host/errno.ts';
import { attach, mountOverlay, unmount } from '../../host/mounts.ts';
import type { OverlayRequest } from '../../host/mounts.ts';
import { idmappedTree } from '../../host/userns-idmap.ts';
import { layerDiff } from './layer-layout.ts';
import type { LayerStore } from './layer-store.ts';
import { names } from './layer-store.ts';

const PRIVATE_MODE = 0o700;
/** The container's `/` where no layer says anything about it. */
const ROOT_MODE = 0o755;
/** Everybody may pass, nobody may look. */
const PASSABLE_MODE = 0o711;
/** The root of the one user namespace may pass, whose group it is. */
const OWN_GROUP_MODE = 0o710;

export interface RootfsPaths {
  readonly dir: string;
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
}

/** Directories that a mount may use and leave behind. */
type Scratch = Pick<RootfsPaths, 'work' | 'lower'>;

/** Of a pod with a user namespace: its pin, and its ids. */
export interface RootfsOwners {
  readonly pin: string;
  readonly mappings: IdMappings;
}

/** The same place as host/layout.ts names with `storageDir` and `rootfs`. */
export function rootfsPaths(store: LayerStore, id: ContainerId): RootfsPaths {
  const dir = join(store.paths.containers, id);
  return { dir, upper: join(dir, 'upper'), work: join(dir, 'work'), empty: join(dir, 'empty'), rootfs: join(dir, 'rootfs'), lower: join(dir, 'lower'), volumes: join(dir, 'volumes') };
}

/** Mounts it; succeeds when it is mounted already. With `owners`, the image's files belong to their ids on the host. */
export async function mountRootfs(store: LayerStore, input: RootfsInput, owners?: RootfsOwners): Promise<void> {
  await store.prepare();
  const paths = rootfsPaths(store, input.id);
  // its root is nobody on the host and must pass, here and through its own directory below (S19)
  if (owners !== undefined) await chmod(store.paths.containers, PASSABLE_MODE);
  if (!(await isMounted(paths.dir, paths.rootfs))) await mountRoot(store, input, paths, owners);
  for (const volume of input.volumes ?? []) await mountVolume(store, input, volume, paths, owners);
}

async function mountRoot(store: LayerStore, input: RootfsInput, paths: RootfsPaths, owners: RootfsOwners | undefined): Promise<void> {
  const attempted = `mount root file system of container ${input.id}`;
  const lower = await lowerDirectories(store, input.layers, attempted);
  await makeDirectories(paths, lower[0], owners, attempted);
  const mountAll = (directories: readonly string[]): Promise<void> => mountLayers(paths, directories, labelOption(input));
  if (owners === undefined || lower.length === 0) return mountAll(lower);
  await withMappedLayers(store.paths.layers, paths, owners.pin, (layers) => mountAll(lower.map(within(store, layers))));
}

/** The same directory of a layer below another view of all layers. */
function within(store: LayerStore, layers: string): (directory: string) => string {
  return (directory) => join(layers, relative(store.paths.layers, directory));
}

/** An image as volume: its layers, read-only, and nothing in it runs or is a device (Kubernetes' documentation of image volumes). */
async function mountVolume(store: LayerStore, input: RootfsInput, volume: VolumeUse, paths: RootfsPaths, owners: RootfsOwners | undefined): Promise<void> {
  const target = join(paths.volumes, volume.id.slice('sha256:'.length));
  // the pod's root has to pass on its way to what is mounted
  await mkdir(target, { recursive: true, mode: PASSABLE_MODE });
  await chmod(paths.volumes, PASSABLE_MODE);
  if (await isMounted(paths.volumes, target)) return;
  const found = await lowerDirectories(store, volume.layers, `mount image ${volume.id} as a volume of container ${input.id}`);
  const mountAll = (lower: readonly string[]): Promise<void> =>
    // overlayfs wants two where nothing can be written
    mountOverlay({
      target, lower: lower.length > 1 ? lower : [...lower, paths.empty], source: 'overlay', options: labelOption(input),
      readOnly: true, nosuid: true, nodev: true, noexec: true,
    });
  if (owners === undefined) return mountAll(found);
  const scratch = { lower: paths.lower, work: join(paths.volumes, 'work') };
  await withMappedLayers(store.paths.layers, scratch, owners.pin, (layers) => mountAll(found.map(within(store, layers))));
}

type Options = NonNullable<OverlayRequest['options']>;

/** All files show with this one label, whatever lies on the disk: layers are shared by pods whose labels differ. */
function labelOption({ mountLabel }: RootfsInput): Options {
  return mountLabel === undefined ? [] : [['context', mountLabel]];
}

function mountLayers(paths: RootfsPaths, lower: readonly string[], label: Options): Promise<void> {
  return mountOverlay({
    target: paths.rootfs,
    lower: lower.length === 0 ? [paths.empty] : lower,
    upper: paths.upper,
    work: paths.work,
    source: 'overlay',
    options: [
      ...label,
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
 * Runs `mount` with a path at which all layers lie with the owners of the user namespace at `pin`: one mount for all
 * of them, seen by nobody. Linux before 6.15 takes layers from mounts that have a place only: there it has one for
 * this while (overlayfs keeps copies of its own).
 */
async function withMappedLayers(layers: string, paths: Scratch, pin: string, mount: (layers: string) => Promise<void>): Promise<void> {
  const tree = await idmappedTree(layers, pin);
  try {
    return await mount(`/proc/self/fd/${tree}`);
  } catch (error) {
    if (codeOf(error) !== 'EINVAL') throw error;
  } finally {
    closeSync(tree);
  }
  // the attempt may have marked it as that of a volatile mount
  await rm(paths.work, { recursive: true, force: true });
  await mkdir(paths.work, { mode: PRIVATE_MODE });
  await withPlacedLayers(layers, paths, pin, mount);
}

/** The way of Linux before 6.15; exported so that its test runs on any kernel. */
export async function withPlacedLayers(layers: string, paths: Pick<Scratch, 'lower'>, pin: string, mount: (layers: string) => Promise<void>): Promise<void> {
  await dropPlaced(paths.lower);
  await mkdir(paths.lower, { recursive: true, mode: PRIVATE_MODE });
  await attach(await idmappedTree(layers, pin), 'show the layers at', paths.lower);
  try {
    await mount(paths.lower);
  } finally {
    await dropPlaced(paths.lower);
  }
}

/** There after that moment only when we died within it. */
async function dropPlaced(lower: string): Promise<void> {
  for (let mounts = 0; mounts < storageLimits.stackedMounts; mounts += 1) {
    if (!(await unmount(lower, { lazy: true }))) return;
  }
  fail('outside', `unmount ${lower}: more than ${storageLimits.stackedMounts} mounts lie on it`, { subject: lower });
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

async function makeDirectories(paths: RootfsPaths, top: string | undefined, owners: RootfsOwners | undefined, attempted: string): Promise<void> {
  const isNew = (await mkdir(paths.dir, { recursive: true, mode: PRIVATE_MODE })) !== undefined;
  // overlayfs refuses the work directory of an earlier volatile mount (work/incompat/volatile); it holds nothing of use
  if (!isNew) await rm(paths.work, { recursive: true, force: true });
  const make = (path: string): Promise<unknown> => mkdir(path, { recursive: !isNew, mode: PRIVATE_MODE });
  // side by side: each is a hop through the pool
  const [root] = await Promise.all([
    top === undefined ? undefined : lstat(top),
    ...[paths.upper, paths.work, paths.rootfs].map(make),
    make(paths.empty).then(() => chmod(paths.empty, ROOT_MODE)),
  ]);
  // the merged root has the attributes of the uppermost directory: without this `/` would be closed to all but root
  await chown(paths.upper, onHost(root?.uid ?? 0, owners?.mappings.uids, attempted), onHost(root?.gid ?? 0, owners?.mappings.gids, attempted));
  await chmod(paths.upper, root === undefined ? ROOT_MODE : root.mode & 0o7777);
  if (owners === undefined) return;
  await chown(paths.dir, 0, owners.mappings.gids.hostId);
  await chmod(paths.dir, OWN_GROUP_MODE);
}

function onHost(id: number, mapping: IdMapping | undefined, attempted: string): number {
  if (mapping === undefined) return id;
  if (id < mapping.length) return mapping.hostId + id;
  return fail('unsupported', `${attempted}: the image's root directory belongs to id ${id}, of which the pod's user namespace has none`);
}

/** Unmounts it; succeeds when it is not mounted. */
export async function unmountRootfs(store: LayerStore, id: ContainerId): Promise<void> {
  const { rootfs, lower, volumes } = rootfsPaths(store, id);
  for (const name of await names(volumes)) await unmountAll(join(volumes, name));
  // before anything below is deleted: these are the layers (and read-only, should it ever be forgotten)
  await dropPlaced(lower);
  await unmountAll(rootfs);
}

async function unmountAll(path: string): Promise<void> {
  for (let mounts = 0; mounts < storageLimits.stackedMounts; mounts += 1) {
    if (!(await unmountOnce(path))) return;
  }
  fail('outside', `unmount ${path}: more than ${storageLimits.stackedMounts} mounts lie on it`, { subject: path });
}

async function unmountOnce(path: string): Promise<boolean> {
  try {
    return await unmount(path);
  } catch (error) {
    if (codeOf(error) !== 'EBUSY') throw error;
  }
  // Somebody has a file open in there, or another mount namespace a copy: it goes away with them, the name at once.
  return unmount(path, { lazy: true });
}

/** Unmounts it and takes away all that the container wrote. */
export async function removeRootfs(store: LayerStore, id: ContainerId): Promise<void> {
  await unmountRootfs(store, id);
  await store.discard(rootfsPaths(store, id).dir);
}

/** A mount shows as a change of device between a directory and its parent. */
async function isMounted(directory: string, path: string): Promise<boolean> {
  try {
    const [dir, mounted] = await Promise.all([lstat(directory), lstat(path)]);
    return dir.dev !== mounted.dev;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
