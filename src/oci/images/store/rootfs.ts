/**
 * Mounts and removes root file systems of containers: the part that all storage drivers share. Drivers make the mounts
 * (drivers/).
 */
import { chmod, chown, mkdir, rmdir, lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { VolumeUse } from '../../../ports/specs.ts';
import type { RootfsInput } from '../../../ports/storage.ts';
import { fail, toFault } from '../../../base/fault.ts';
import { allSettled } from '../../../base/settled.ts';
import type { ContainerId, Digest } from '../../../base/ids.ts';
import { storageLimits } from '../../bounds.ts';
import { codeOf, onlyAbsent } from '../../../host/ffi/errno.ts';
import { isThere } from '../../../host/files/is-there.ts';
import { isMountPoint, isOtherDevice } from '../../../host/mounts/mount-point.ts';
import { unmount } from '../../../host/mounts/mounts.ts';
import { layerDir, rootfsPaths } from './records/layer-layout.ts';
import type { RootfsPaths } from './records/layer-layout.ts';
import type { LayerStore } from './layer-store.ts';
import { namesIn } from './records/names-in.ts';
import { PASSABLE_MODE, PRIVATE_MODE } from './drivers/modes.ts';
import { unmountAttached } from './drivers/mapped-layers.ts';
import type { RootRequest, RootfsOwners, StoredLayer } from './drivers/rootfs-driver.ts';

/** The group, root of one user namespace, may traverse the directory. */
const OWN_GROUP_MODE = 0o710;

/** The owners of the files, and the cgroup of a process that serves them. */
export interface RootfsOptions {
  readonly owners?: RootfsOwners | undefined;
  readonly cgroup?: string | undefined;
}

/**
 * Mounts a container's root. Succeeds if it is already mounted. `owners`: user namespace to which the image's files are
 * mapped.
 */
export async function mountRootfs(
  store: LayerStore,
  input: RootfsInput,
  options: RootfsOptions = {},
): Promise<void> {
  await store.prepare();
  await store.takeOver();
  store.unmounted.delete(input.id);
  const paths = rootfsPaths(store.paths, input.id);
  const { owners } = options;
  // root of the user namespace is an unprivileged user on the host and must be able to traverse the directories (S19)
  if (owners !== undefined) await store.onContainers(() => chmod(store.paths.containers, PASSABLE_MODE));
  const request = (layers: readonly StoredLayer[], attempted: string): RootRequest => ({
    id: input.id,
    paths,
    layers,
    label: input.mountLabel,
    owners,
    cgroup: options.cgroup,
    attempted,
  });
  const { volumes = [] } = input;
  // nothing can be mounted below a directory that was just created
  const isNew = await store.onContainers(() => makeDirectory(paths.dir));
  if (isNew && volumes.length === 0 && owners === undefined) store.onlyRoot.add(input.id);
  else store.onlyRoot.delete(input.id);
  if (isNew || !(await isMounted(store, paths.rootfs))) {
    const attempted = `mount root file system of container ${input.id}`;
    try {
      await withLayers(store, input.layers, attempted, {
        prepare: () => store.onContainers(() => makeDirectories(paths, owners, isNew)),
        mount: (layers) => store.driver.mountRoot(request(layers, attempted)),
      });
    } catch (error) {
      store.onlyRoot.delete(input.id);
      // without its layers nothing is left; what a driver has created is removed with the container
      if (isNew) await store.onContainers(() => removeDirectories(paths)).catch(() => undefined);
      throw error;
    }
  }
  for (const volume of volumes) await mountVolume(store, volume, request);
}

/** Mounts an image volume: read-only, noexec and nodev (Kubernetes' documentation of image volumes). */
async function mountVolume(
  store: LayerStore,
  volume: VolumeUse,
  request: (layers: readonly StoredLayer[], attempted: string) => RootRequest,
): Promise<void> {
  const attempted = `mount image ${volume.id} as a volume`;
  const { paths } = request([], attempted);
  const name = volume.id.slice('sha256:'.length);
  const target = join(paths.volumes, name);
  // root of the pod's user namespace must be able to traverse the directories
  await store.onContainers(async () => {
    await mkdir(target, { recursive: true, mode: PASSABLE_MODE });
    await chmod(paths.volumes, PASSABLE_MODE);
  });
  if (await isMounted(store, target)) return;
  await withLayers(store, volume.layers, `${attempted} of container ${request([], '').id}`, {
    prepare: () => Promise.resolve(),
    mount: (layers) => store.driver.mountVolume({ ...request(layers, attempted), target, name }),
  });
}

interface Mounting {
  /** Makes what `mount` expects beside the layers. Repeatable: called again where the first attempt has failed. */
  readonly prepare: () => Promise<void>;
  readonly mount: (layers: readonly StoredLayer[]) => Promise<void>;
}

/** Mounts with the layers, whose records are read for an image's first container alone. */
async function withLayers(
  store: LayerStore,
  wanted: readonly Digest[],
  attempted: string,
  { prepare, mount }: Mounting,
): Promise<void> {
  const { mountable } = store;
  const mountAnew = (read: () => Promise<readonly StoredLayer[]>): Promise<void> =>
    mountable.learn(wanted, async () => {
      const stored = await read();
      await prepare();
      await mount(stored);
      return stored;
    });
  const known = mountable.find(wanted);
  if (known === undefined) return mountAnew(() => layersOf(store, wanted, attempted));
  try {
    // a mount of layers on a disk that does not answer would keep one of the pool's threads for each call (F45)
    await allSettled([store.onImages(() => lstat(store.paths.layers)), prepare()]);
    await mount(known);
  } catch (error) {
    mountable.drop(wanted);
    await mountAnew(async () => {
      const stored = await layersOf(store, wanted, attempted).catch((thrown: unknown) => {
        throw isGone(thrown) ? thrown : error;
      });
      // with the same layers another attempt would fail, too
      if (isSameList(stored, known)) throw error;
      return stored;
    });
  }
}

/** Whether `layersOf` has found that a layer is gone, which then is why a mount with it failed. */
function isGone(thrown: unknown): boolean {
  return ['notFound', 'notReady'].includes(toFault(thrown).kind);
}

function isSameList(one: readonly StoredLayer[], other: readonly StoredLayer[]): boolean {
  return one.length === other.length && one.every(({ dir }, at) => dir === other[at]?.dir);
}

/** False if it exists, or its parent does not. */
async function makeDirectory(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: PRIVATE_MODE });
    return true;
  } catch (error) {
    if (['EEXIST', 'ENOENT'].includes(codeOf(error) ?? '')) return false;
    throw error;
  }
}

/** Creates the directories that a driver expects. */
async function makeDirectories(
  paths: RootfsPaths,
  owners: RootfsOwners | undefined,
  isNew: boolean,
): Promise<void> {
  if (!isNew) await mkdir(paths.dir, { recursive: true, mode: PRIVATE_MODE });
  await allSettled([
    mkdir(paths.rootfs, { recursive: true, mode: PRIVATE_MODE }),
    ...(owners === undefined
      ? []
      : [chown(paths.dir, 0, owners.mappings.gids.hostId), chmod(paths.dir, OWN_GROUP_MODE)]),
  ]);
}

/** Removes what `makeDirectories` has made, if nothing else is there. */
async function removeDirectories(paths: RootfsPaths): Promise<void> {
  await rmdir(paths.rootfs).catch(onlyAbsent);
  await rmdir(paths.dir);
}

/**
 * The layers from top to bottom. A repeated layer (builders repeat the empty one) is used once, at its highest
 * position: overlayfs refuses a directory that occurs twice, and the higher copy shows the same files. Layers below one
 * with an opaque root are left out, since they are invisible.
 */
async function layersOf(
  store: LayerStore,
  layers: readonly Digest[],
  attempted: string,
): Promise<StoredLayer[]> {
  const wanted = [...new Set(layers.toReversed())];
  if (wanted.length > storageLimits.lowers) {
    fail(
      'unsupported',
      `${attempted}: ${wanted.length} layers, the kernel stacks at most ${storageLimits.lowers}`,
    );
  }
  const found = await Promise.all(wanted.map((diffId) => store.find(diffId)));
  const stored: StoredLayer[] = [];
  for (const [at, diffId] of wanted.entries()) {
    const layer = found[at];
    if (layer === undefined) return refuseMissing(store, diffId, attempted);
    const { paths, isOwn, record } = layer;
    stored.push({ diffId, dir: layerDir(paths, diffId), layers: paths.layers, isOwn });
    // even if a layer below is missing, nothing of it would be used
    if (record.rootOpaque) break;
  }
  return stored;
}

/** Throws `notReady` while an additional store, which may have the layer, cannot be read; else `notFound`. */
function refuseMissing({ unreadStores }: LayerStore, diffId: Digest, attempted: string): never {
  if (unreadStores.length === 0)
    fail('notFound', `${attempted}: layer ${diffId} not found`, { subject: diffId });
  const stores = unreadStores.map((root) => `image store ${root} cannot be read`).join(', ');
  return fail('notReady', `${attempted}: layer ${diffId} not found: ${stores}`, { subject: diffId });
}

/** Unmounts a container's root and image volumes. Succeeds if they are not mounted. */
export async function unmountRootfs(store: LayerStore, id: ContainerId): Promise<void> {
  await store.takeOver();
  const paths = rootfsPaths(store.paths, id);
  if (store.onlyRoot.has(id)) await unmountOnce(paths.rootfs);
  else {
    for (const name of await store.onContainers(() => namesIn(paths.volumes)))
      await unmountAll(join(paths.volumes, name));
    // must come before any deletion below: these are mounts of the layers (read-only, in case one is missed)
    await unmountAttached(paths.lower);
    await unmountAll(paths.rootfs);
  }
  await store.driver.unmounted?.(paths);
  store.unmounted.add(id);
}

async function unmountAll(path: string): Promise<void> {
  for (let mounts = 0; mounts < storageLimits.stackedMounts; mounts += 1) {
    if (!(await unmountOnce(path))) return;
  }
  fail('outside', `unmount ${path}: more than ${storageLimits.stackedMounts} mounts are stacked on it`, {
    subject: path,
  });
}

async function unmountOnce(path: string): Promise<boolean> {
  try {
    return await unmount(path);
  } catch (error) {
    if (codeOf(error) !== 'EBUSY') throw error;
  }
  // a file is open, or another mount namespace has a copy: unmount lazily, so that the mount disappears here at once
  return unmount(path, { lazy: true });
}

/** Unmounts the root and deletes everything that the container wrote. */
export async function removeRootfs(store: LayerStore, id: ContainerId): Promise<void> {
  const { driver } = store;
  if (!store.unmounted.has(id)) await unmountRootfs(store, id);
  const paths = rootfsPaths(store.paths, id);
  if (driver.removingRoot !== undefined && (await store.onContainers(() => isThere(paths.dir))))
    await driver.removingRoot(paths, id);
  await store.discard(paths.dir, driver.leftEntries);
  store.unmounted.delete(id);
  store.onlyRoot.delete(id);
}

function isMounted(store: LayerStore, path: string): Promise<boolean> {
  const { driver } = store;
  // an overlay of the kernel is another device, which is cheap to check; a bind mount may be on the same device, and
  // stat fails on the mount of a program that has died
  return store.onContainers(() =>
    driver.name === 'overlay' || driver.name === 'erofs' ? isOtherDevice(path) : isMountPoint(path),
  );
}
