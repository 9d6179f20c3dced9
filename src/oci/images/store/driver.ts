/** Implements StoragePort with the layer store and its storage driver. */
import { realpath } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { ClockPort } from '../../../ports/clock.ts';
import type { EffectContext } from '../../../ports/effect.ts';
import type { FilesystemUsage, RootfsInput, StorageFacts, StoragePort } from '../../../ports/storage.ts';
import { KeyedMutex } from '../../../base/bounded.ts';
import { FaultError, fail, toFault } from '../../../base/fault.ts';
import { parseContainerId } from '../../../base/ids.ts';
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
import { storageLimits } from '../../bounds.ts';
import { readMountInfo } from '../../../host/mounts/mountinfo.ts';
import type { RootfsOwners } from './drivers/rootfs-driver.ts';
import type { LayerStore } from './layer-store.ts';
import { namesIn } from './records/names-in.ts';
import { rootfsPaths } from './records/layer-layout.ts';
import { Renewed } from './renewed.ts';
import { mountRootfs, removeRootfs, unmountRootfs } from './rootfs.ts';
import { WholeFigures, sumOf } from '../../trees/whole-figures.ts';
import { withDeadline } from '../../../host/clock/deadline.ts';

export interface StorageDriverOptions {
  readonly store: LayerStore;
  readonly clock: ClockPort;
  /** ms for which a measurement of the containers is reused; default: `storageLimits`. */
  readonly measureAgeMs?: number;
  /** The path at which a sandbox's user namespace is pinned; omitted if user namespaces are not used. */
  readonly usernsPin?: (id: SandboxId) => string;
  /** The cgroup for a sandbox's file system programs (fuse-overlayfs); omitted or undefined: the daemon's cgroup. */
  readonly helperCgroup?: (sandboxId: SandboxId, id: ContainerId) => string | undefined;
}

/** Creates the driver; one per store. */
export function createStorageDriver(options: StorageDriverOptions): StoragePort {
  const { store, clock } = options;
  const containers = new KeyedMutex('root file system', storageLimits.layerWaiting);
  const figures = new WholeFigures(store.log, store.conditions);
  const containerUsage = new Renewed({
    clock,
    ageMs: options.measureAgeMs ?? storageLimits.measureAgeMs,
    find: () => measureContainers(store, figures),
  });

  const onContainer = (
    id: ContainerId,
    what: string,
    fx: EffectContext,
    work: () => Promise<void>,
  ): Promise<void> => {
    const attempted = `${what} root file system of container ${id}`;
    fx.note({ on: `${what} root file system` });
    return withDeadline(clock, fx, attempted, (signal) => containers.with(id, work, signal)).finally(() => {
      containerUsage.outdate();
    });
  };

  return {
    mountRootfs: (input, fx) =>
      onContainer(input.id, 'mount', fx, () =>
        mountRootfs(store, input, { owners: ownersOf(options, input), cgroup: cgroupOf(options, input) }),
      ),
    unmountRootfs: (input, fx) => onContainer(input.id, 'unmount', fx, () => unmountRootfs(store, input.id)),
    removeRootfs: (input, fx) => onContainer(input.id, 'remove', fx, () => removeRootfs(store, input.id)),
    removeLayer: ({ diffId }, fx) =>
      withDeadline(clock, fx, `remove layer ${diffId}`, () => store.remove(diffId)),
    removePartials: (fx) => {
      fx.note({ on: 'deleting half-unpacked layers' });
      return withDeadline(clock, fx, 'remove half-unpacked layers', async () => {
        // do not wait: it never rejects, and reports failures as conditions
        void store.removePartials();
      });
    },
    observe: (fx) => withDeadline(clock, fx, 'observe storage', () => observe(store)),
    usage: (fx) =>
      withDeadline(clock, fx, 'measure storage', async () => {
        const [images, written] = await Promise.all([imageUsage(store), containerUsage.now()]);
        return { images, containers: written };
      }),
  };
}

function cgroupOf(
  { helperCgroup }: StorageDriverOptions,
  { id, sandboxId }: RootfsInput,
): string | undefined {
  return sandboxId === undefined ? undefined : helperCgroup?.(sandboxId, id);
}

function ownersOf(
  { usernsPin }: StorageDriverOptions,
  { id, userNamespace }: RootfsInput,
): RootfsOwners | undefined {
  if (userNamespace === undefined) return undefined;
  const { sandboxId, mappings } = userNamespace;
  const pin =
    usernsPin?.(sandboxId) ??
    fail(
      'bug',
      `mount root file system of container ${id}: no path of pinned user namespaces is configured`,
      {
        subject: id,
      },
    );
  return { pin, mappings };
}

async function observe(store: LayerStore): Promise<StorageFacts> {
  const { containers } = store.paths;
  // before reading the mounts: no process of an earlier daemon may mount anything afterwards
  await store.takeOver().catch((error: unknown) => {
    store.log.error(
      { fault: toFault(error) },
      'end fuse-overlayfs processes started by an earlier daemon: failed',
    );
  });
  const [own, others, entries, mounts] = await Promise.all([
    answered(store, 'list layers', () => store.scan()),
    store.listOthers(),
    store.onContainers(() => namesIn(containers)),
    readMountInfo(),
  ]);
  const mounted = new Set(mounts.map((mount) => mount.mountPoint));
  // mountinfo has paths without symlinks, while the store's path may contain one
  const root = entries.length === 0 ? containers : await store.onContainers(() => realpath(containers));
  const rootfs = entries.flatMap((entry) => {
    const id = parseContainerId(entry);
    return id === undefined
      ? []
      : [{ id, mounted: mounted.has(join(root, relative(containers, rootfsPaths(store.paths, id).rootfs))) }];
  });
  const unread = others.unread.length === 0 ? {} : { unreadStores: others.unread };
  if (own === undefined) return { layers: others.layers, imagesUnknown: true, ...unread, rootfs };
  return {
    layers: [
      ...new Set([...own.records.map((record) => record.diffId), ...own.unreadable, ...others.layers]),
    ],
    ...unread,
    rootfs,
  };
}

/**
 * The result of a call to the images' disk. Undefined if that disk is separate from the containers' and does not
 * respond in time, such as a network file system without its server: containers must not wait for it.
 */
async function answered<T>(store: LayerStore, what: string, ask: () => Promise<T>): Promise<T | undefined> {
  const { root, containersRoot } = store.paths;
  if (root === containersRoot) return ask();
  try {
    return await withDeadline(
      store.clock,
      { signal: new AbortController().signal, timeoutMs: storageLimits.imagesAnswerMs },
      `${what} in ${root}`,
      ask,
    );
  } catch (error) {
    if (!(error instanceof FaultError) || error.fault.kind !== 'timedOut') throw error;
    store.log.error({ fault: error.fault }, 'image disk does not respond; starting without its layers');
    return undefined;
  }
}

async function imageUsage(store: LayerStore): Promise<FilesystemUsage> {
  let usedBytes = 0;
  let inodes = 0;
  const { ingest } = store.paths;
  const left = (await store.onImages(() => namesIn(ingest))).length === 0 ? [] : [ingest];
  const trees = [...((await store.driver.imageTrees?.()) ?? []), ...left];
  const made = trees.length === 0 ? [] : await store.measure(trees);
  for (const size of [...(await store.list()), ...made]) {
    usedBytes += size.usedBytes;
    inodes += size.inodes;
  }
  return { mountpoint: store.paths.root, usedBytes: BigInt(usedBytes), inodesUsed: BigInt(inodes) };
}

/** What all containers wrote. */
async function measureContainers(store: LayerStore, figures: WholeFigures): Promise<FilesystemUsage> {
  const { driver, paths } = store;
  const { containersRoot, containers } = paths;
  const ids = (await store.onContainers(() => namesIn(containers))).flatMap(
    (name) => parseContainerId(name) ?? [],
  );
  // the measurement does not enter other devices: mounted root file systems, and trees of drivers that list them
  // separately
  const trees = ids.flatMap((id) => [
    join(containers, id),
    ...(driver.writtenTrees?.(rootfsPaths(paths, id)) ?? []),
  ]);
  const sizes = trees.length === 0 ? [] : await store.measure(trees);
  figures.keepOnly(new Set(trees));
  const size = sumOf(sizes.map((measured, tree) => figures.settle(trees[tree] ?? '', measured)));
  return {
    mountpoint: containersRoot,
    usedBytes: BigInt(size.usedBytes),
    inodesUsed: BigInt(size.inodes),
  };
}
