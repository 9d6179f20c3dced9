/** Root file systems of containers: what is the same for every storage driver. The driver itself makes the mounts (drivers/). */
import { chmod, chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { VolumeUse } from '../../../ports/specs.ts';
import type { RootfsInput } from '../../../ports/storage.ts';
import { fail } from '../../../base/fault.ts';
import type { ContainerId, Digest } from '../../../base/ids.ts';
import { storageLimits } from '../../bounds.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { isThere } from '../../../host/files/is-there.ts';
import { isMountPoint, isOtherDevice } from '../../../host/mounts/mount-point.ts';
import { unmount } from '../../../host/mounts/mounts.ts';
import { layerDir, rootfsPaths } from './records/layer-layout.ts';
import type { RootfsPaths } from './records/layer-layout.ts';
import type { LayerStore } from './layer-store.ts';
import { namesIn } from './records/names-in.ts';
import { PASSABLE_MODE, PRIVATE_MODE } from './drivers/modes.ts';
import { dropPlaced } from './drivers/mapped-layers.ts';
import type { RootRequest, RootfsOwners, StoredLayer } from './drivers/rootfs-driver.ts';

/** The root of the one user namespace may pass, whose group it is. */
const OWN_GROUP_MODE = 0o710;

/** Whose files they are, and where a program runs that serves them. */
export interface RootfsPlace {
  readonly owners?: RootfsOwners | undefined;
  readonly cgroup?: string | undefined;
}

/** Mounts it; succeeds when it is mounted already. With `owners`, the image's files belong to their ids on the host. */
export async function mountRootfs(
  store: LayerStore,
  input: RootfsInput,
  place: RootfsPlace = {},
): Promise<void> {
  await store.prepare();
  await store.takeOver();
  const paths = rootfsPaths(store.paths, input.id);
  const { owners } = place;
  // its root is nobody on the host and must pass, here and through its own directory below (S19)
  if (owners !== undefined) await store.onContainers(() => chmod(store.paths.containers, PASSABLE_MODE));
  const request = (layers: readonly StoredLayer[], attempted: string): RootRequest => ({
    id: input.id,
    paths,
    layers,
    label: input.mountLabel,
    owners,
    cgroup: place.cgroup,
    attempted,
  });
  if (!(await isMounted(store, paths.rootfs))) {
    const attempted = `mount root file system of container ${input.id}`;
    const layers = await layersOf(store, input.layers, attempted);
    await store.onContainers(() => makeDirectories(paths, owners));
    await store.driver.mountRoot(request(layers, attempted));
  }
  for (const volume of input.volumes ?? []) await mountVolume(store, volume, request);
}

/** An image as volume: its layers, read-only, and nothing in it runs or is a device (Kubernetes' documentation of image volumes). */
async function mountVolume(
  store: LayerStore,
  volume: VolumeUse,
  request: (layers: readonly StoredLayer[], attempted: string) => RootRequest,
): Promise<void> {
  const attempted = `mount image ${volume.id} as a volume`;
  const { paths } = request([], attempted);
  const name = volume.id.slice('sha256:'.length);
  const target = join(paths.volumes, name);
  // the pod's root has to pass on its way to what is mounted
  await store.onContainers(async () => {
    await mkdir(target, { recursive: true, mode: PASSABLE_MODE });
    await chmod(paths.volumes, PASSABLE_MODE);
  });
  if (await isMounted(store, target)) return;
  const layers = await layersOf(store, volume.layers, `${attempted} of container ${request([], '').id}`);
  await store.driver.mountVolume({ ...request(layers, attempted), target, name });
}

/** What a driver may count on. */
async function makeDirectories(paths: RootfsPaths, owners: RootfsOwners | undefined): Promise<void> {
  await mkdir(paths.dir, { recursive: true, mode: PRIVATE_MODE });
  await mkdir(paths.rootfs, { recursive: true, mode: PRIVATE_MODE });
  if (owners === undefined) return;
  await chown(paths.dir, 0, owners.mappings.gids.hostId);
  await chmod(paths.dir, OWN_GROUP_MODE);
}

/**
 * Layers from the top down. One that occurs twice (builders repeat the empty one) stands once, at its highest place:
 * overlayfs refuses the same directory twice, and what the lower one shows the higher one shows as well. Below a layer
 * that hides everything there is nothing to be seen.
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
    // a missing layer below would still be an image that is not whole, but nothing of it is used
    if (record.rootOpaque) break;
  }
  return stored;
}

/** Throws `notReady` while an additional store can't be read, which may have the layer, else `notFound`. */
function refuseMissing({ unreadStores }: LayerStore, diffId: Digest, attempted: string): never {
  if (unreadStores.length === 0)
    fail('notFound', `${attempted}: layer ${diffId} is not in the store`, { subject: diffId });
  const stores = unreadStores.map((root) => `image store ${root} can not be read`).join(', ');
  return fail('notReady', `${attempted}: layer ${diffId} not found: ${stores}`, { subject: diffId });
}

/** Unmounts it; succeeds when it is not mounted. */
export async function unmountRootfs(store: LayerStore, id: ContainerId): Promise<void> {
  await store.takeOver();
  const paths = rootfsPaths(store.paths, id);
  for (const name of await store.onContainers(() => namesIn(paths.volumes)))
    await unmountAll(join(paths.volumes, name));
  // before anything below is deleted: these are the layers (and read-only, should it ever be forgotten)
  await dropPlaced(paths.lower);
  await unmountAll(paths.rootfs);
  await store.driver.unmounted?.(paths);
}

async function unmountAll(path: string): Promise<void> {
  for (let mounts = 0; mounts < storageLimits.stackedMounts; mounts += 1) {
    if (!(await unmountOnce(path))) return;
  }
  fail('outside', `unmount ${path}: more than ${storageLimits.stackedMounts} mounts lie on it`, {
    subject: path,
  });
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
  const { driver } = store;
  await unmountRootfs(store, id);
  const paths = rootfsPaths(store.paths, id);
  if (driver.removing !== undefined && (await store.onContainers(() => isThere(paths.dir))))
    await driver.removing(paths, id);
  await store.discard(paths.dir);
}

function isMounted(store: LayerStore, path: string): Promise<boolean> {
  const { driver } = store;
  // the kernel's overlay is another device; a bind may be none, and a mount of a program that died can't be asked
  return store.onContainers(() =>
    driver.name === 'overlay' || driver.name === 'erofs' ? isOtherDevice(path) : isMountPoint(path),
  );
}
