/** The layer store, by the configuration: its paths, its driver, the driver's programs. */
import type { ClockPort } from '../../ports/clock.ts';
import type { RandomPort } from '../../ports/random.ts';
import type { StoragePort } from '../../ports/storage.ts';
import type { Ledger } from '../../actors/ledger/ledger.ts';
import type { Conditions } from '../../base/conditions.ts';
import { FaultError, fail, toFault } from '../../base/fault.ts';
import { storageLimits } from '../../oci/bounds.ts';
import type { Log } from '../../base/log.ts';
import type { CgroupLayout } from '../../host/kernel-thread/thread-protocol.ts';
import { createCgroup, moveProcess } from '../../host/cgroups/cgroups.ts';
import { helperCgroup } from '../../host/sandbox/layout.ts';
import type { Layout } from '../../host/sandbox/layout.ts';
import { inPool } from '../../host/ffi/pool.ts';
import { isScope, scopeOfProcess } from '../../host/cgroups/slices.ts';
import type { ContainerId } from '../../base/ids.ts';
import { createStorageDriver } from '../../oci/images/store/driver.ts';
import { btrfsDriver } from '../../oci/images/store/drivers/btrfs.ts';
import { erofsDriver } from '../../oci/images/store/drivers/erofs.ts';
import { fuseOverlayDriver } from '../../oci/images/store/drivers/fuse-overlayfs.ts';
import { overlayDriver } from '../../oci/images/store/drivers/overlay.ts';
import { parseDriverName } from '../../oci/images/store/drivers/driver-name.ts';
import type { DriverHost, DriverName, RootfsDriver } from '../../oci/images/store/drivers/rootfs-driver.ts';
import { checkOtherStore, claimStore, markStore } from '../../oci/images/store/drivers/select.ts';
import { vfsDriver } from '../../oci/images/store/drivers/vfs.ts';
import { rootfsPaths } from '../../oci/images/store/records/layer-layout.ts';
import { LayerStore } from '../../oci/images/store/layer-store.ts';
import { withDeadline } from '../../host/clock/deadline.ts';
import type { Config, ConfigNow } from '../config/config-schema.ts';
import { findProgram } from './find-program.ts';
import { whileThere } from './rechecked.ts';
import type { Rechecked } from './rechecked.ts';
import { systemdOf } from './systemd.ts';

export interface StoreParts {
  readonly clock: ClockPort;
  readonly random: RandomPort;
  readonly log: Log;
  readonly cgroups: CgroupLayout;
  readonly conditions: Conditions;
  readonly rechecked: Rechecked;
}

/**
 * Opens the store and claims it for the configured driver. Rejects with `invalidRequest` and the key if it belongs to
 * another driver.
 */
export async function openStore(now: ConfigNow, parts: StoreParts): Promise<LayerStore> {
  const config = now();
  const { storage, root } = config;
  const { clock, random, log, conditions, rechecked } = parts;
  const driver = await driverOf(now, parts);
  const store = new LayerStore({
    root: storage.image_store === '' ? root : storage.image_store,
    containersRoot: root,
    additionalRoots: storage.additional_stores,
    transfers: () => now().images.parallel_downloads,
    transfersPerSource: () => now().images.parallel_downloads_per_registry,
    driver,
    clock,
    random,
    log,
    conditions,
    onMoved: (moved) => rechecked.report(moved, whileThere(moved)),
    isUsable: (other) => isUsable(other, rechecked),
  });
  const others = storage.additional_stores.map((other) => orUnusable(other, store.driver.name, parts));
  await Promise.all([claimForDriver(store, parts), ...others]);
  return store;
}

/** False for an additional store that could not be read so far. */
export function isUsable(root: string, rechecked: Pick<Rechecked, 'has'>): boolean {
  return !rechecked.has(partOf(root));
}

/** Calls `adopt` with each additional store that could not be read, when it can be. */
export function whenUsable(
  roots: readonly string[],
  rechecked: Pick<Rechecked, 'onGone'>,
  adopt: (root: string) => void,
): void {
  rechecked.onGone(({ subject }) => {
    const root = roots.find((one) => partOf(one).subject === subject);
    if (root !== undefined) adopt(root);
  });
}

function partOf(root: string): { readonly type: 'PartsStarted'; readonly subject: string } {
  return { type: 'PartsStarted', subject: `image store ${root}` };
}

/**
 * Claims the store for its driver. A mark that can't be written is tried again until it can: without it, a start with
 * another driver would not be refused.
 */
export async function claimForDriver(
  store: Pick<LayerStore, 'paths'> & { readonly driver: Pick<RootfsDriver, 'name' | 'check'> },
  { clock, rechecked }: Pick<StoreParts, 'clock' | 'rechecked'>,
): Promise<void> {
  const bound = { signal: new AbortController().signal, timeoutMs: storageLimits.imagesAnswerMs };
  const check = async (): Promise<void> => {
    for (const { path, reason } of await claimStore(store.paths, store.driver)) {
      const degradation = {
        type: 'PartsStarted',
        subject: `mark of the image store ${path}`,
        reason,
      } as const;
      rechecked.report(degradation, async () => {
        const unmarked = await markStore(store.paths, store.driver);
        return unmarked.find((one) => one.path === path)?.reason;
      });
    }
  };
  try {
    await withDeadline(clock, bound, `read the image store ${store.paths.root}`, check);
  } catch (error) {
    // a server that does not answer: running pods don't need it, and calls that do are refused with the reason
    if (!(error instanceof FaultError) || error.fault.kind !== 'timedOut') throw error;
    rechecked.report({ ...partOf(store.paths.root), reason: error.fault.message }, () =>
      check().then(() => undefined),
    );
  }
}

/**
 * An additional store that can't be read does not hold up the start; its layers and images are used once a check
 * succeeds.
 */
async function orUnusable(root: string, driver: DriverName, { clock, rechecked }: StoreParts): Promise<void> {
  const bound = { signal: new AbortController().signal, timeoutMs: storageLimits.otherStoreMs };
  const check = (): Promise<void> => inPool(root, () => checkOtherStore(root, driver));
  try {
    await withDeadline(clock, bound, `read image store ${root}`, check);
  } catch (thrown) {
    const { kind, message } = toFault(thrown);
    if (kind === 'invalidRequest') throw thrown;
    rechecked.report({ ...partOf(root), reason: message }, () => check().then(() => undefined));
  }
}

/** The storage port on the store. The ledger has the parent cgroup of each sandbox. */
export function storageDriver(
  store: LayerStore,
  layout: Layout,
  { sandboxes }: Pick<Ledger, 'sandboxes'>,
  clock: ClockPort,
): StoragePort {
  return createStorageDriver({
    store,
    clock,
    usernsPin: (id) => layout.pin(id, 'user'),
    helperCgroup: (sandboxId, id) => {
      const cgroupParent = sandboxes.get(sandboxId)?.intent.spec.cgroupParent;
      return cgroupParent === undefined ? undefined : helperCgroup(cgroupParent, sandboxId, id);
    },
  });
}

async function driverOf(
  now: ConfigNow,
  { cgroups, clock }: Pick<StoreParts, 'cgroups' | 'clock'>,
): Promise<(host: DriverHost) => RootfsDriver> {
  const config = now();
  const { storage } = config;
  const name = parseDriverName(storage.driver);
  const limitBytes = storage.container_size === 'unlimited' ? undefined : storage.container_size;
  // counts for the roots that are mounted from now on
  const isVolatile = (): boolean => now().storage.overlay_volatile;
  const overlay = { metacopy: storage.overlay_metacopy, isVolatile, limitBytes };
  switch (name) {
    case 'overlay':
      return (host) => overlayDriver(host, overlay);
    case 'vfs':
      // a quota would count the image's copy as the container's
      if (limitBytes !== undefined)
        fail('invalidRequest', 'use storage.container_size: the storage driver vfs has no quotas', {
          subject: 'storage.container_size',
        });
      return vfsDriver;
    case 'btrfs':
      return (host) => btrfsDriver(host, { limitBytes });
    case 'erofs': {
      const program = await findProgram(storage.erofs_program, 'storage driver erofs');
      return (host) => erofsDriver(host, { ...overlay, program });
    }
    case 'fuse-overlayfs': {
      const program = await findProgram(storage.mount_program, 'storage driver fuse-overlayfs');
      const { systemd } = await systemdOf(config, clock);
      const moveToCgroup = async (pid: number, cgroup: string): Promise<void> => {
        // a slice of an earlier configuration, on a machine that systemd no longer runs: stays with the daemon
        if (isScope(cgroup)) return systemd?.startScope(scopeOfProcess(cgroup, pid), pid, { isHelper: true });
        await createCgroup(cgroups, cgroup);
        await moveProcess(cgroups, cgroup, pid);
      };
      return (host) => fuseOverlayDriver(host, { program, isVolatile, limitBytes, moveToCgroup });
    }
  }
}

/**
 * The directory with what a container wrote, for a checkpoint. Throws `unsupported` for drivers that keep no such
 * directory.
 */
export function changesOf({ storage }: Pick<Config, 'storage'>, store: LayerStore, id: ContainerId): string {
  const { name } = store.driver;
  const attempted = `checkpoint container ${id}`;
  if (name === 'vfs' || name === 'btrfs' || name === 'erofs')
    fail('unsupported', `${attempted}: the storage driver ${name} keeps no separate changes of a container`, {
      subject: id,
    });
  if (storage.overlay_metacopy)
    fail('unsupported', `${attempted}: with storage.overlay_metacopy changed files are incomplete`, {
      subject: id,
    });
  return rootfsPaths(store.paths, id).upper;
}
