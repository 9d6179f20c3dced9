/** The kernel's overlayfs: the layers as lower directories, and an upper directory for what the container writes. */
import type { Stats } from 'node:fs';
import { chmod, chown, lstat, mkdir, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { IdMapping } from '../../../../ports/specs.ts';
import { fail } from '../../../../base/fault.ts';
import { allSettled } from '../../../../base/settled.ts';
import { mountOverlay } from '../../../../host/mounts/overlay.ts';
import type { OverlayRequest } from '../../../../host/mounts/overlay.ts';
import type { KnownEntry } from '../../../trees/small-tree.ts';
import { DIFF } from '../records/layer-layout.ts';
import { emptyLower } from './empty-lower.ts';
import { withMappedTrees } from './mapped-layers.ts';
import { PRIVATE_MODE, ROOT_MODE } from './modes.ts';
import { ContainerLimit } from './container-limit.ts';
import type { DriverHost, RootRequest, RootfsDriver, StoredLayer } from './rootfs-driver.ts';

export interface OverlayOptions {
  /** Do not copy up a file if only its owner or mode changes (option `metacopy`). */
  readonly metacopy: boolean;
  /**
   * Never sync to disk (option `volatile`). Data of a container does not survive a power loss, nor does the container.
   */
  readonly isVolatile: () => boolean;
  /** Bytes that one container may write to its root; omitted for no limit. */
  readonly limitBytes?: number | undefined;
}

/** A lower directory: a tree, which is mapped as a whole for user namespaces, and the layer's path below it. */
export interface LowerTree {
  readonly tree: string;
  readonly below: string;
}

/** The lower directory of an unpacked layer. All layers of a store share one tree. */
export function unpackedTree(layer: StoredLayer): LowerTree {
  return { tree: layer.layers, below: join(relative(layer.layers, layer.dir), DIFF) };
}

/**
 * overlayfs's own work directory, with the mark of a volatile mount, and the mount point. A container sees nothing of
 * them: overlayfs alone creates names in its work directory (fs/overlayfs/super.c, ovl_workdir_create).
 */
export const OVERLAY_LEFT: readonly KnownEntry[] = [
  { path: 'work/work/incompat/volatile/dirty', isDirectory: false },
  ...['work/work/incompat/volatile', 'work/work/incompat', 'work/work', 'work', 'rootfs'].map((path) => ({
    path,
    isDirectory: true,
  })),
];

/** Creates the driver. */
export function overlayDriver(host: Pick<DriverHost, 'paths'>, options: OverlayOptions): RootfsDriver {
  const limit = new ContainerLimit(options.limitBytes);
  return {
    name: 'overlay',
    leftEntries: OVERLAY_LEFT,
    check: () => limit.check(host.paths.containersRoot),
    mountRoot: (request) => mountOverlayRoot(request, request.layers.map(unpackedTree), options, limit),
    mountVolume: (request) => mountOverlayVolume(request, request.layers.map(unpackedTree)),
    ...limit.ofDriver(),
  };
}

/** Mounts a writable root over `lower`. */
export async function mountOverlayRoot(
  request: RootRequest,
  lower: readonly LowerTree[],
  options: OverlayOptions,
  limit: ContainerLimit,
): Promise<void> {
  const { paths } = request;
  await makeUpper(request, lower[0], limit);
  await withDirectories(request, lower, paths, async (directories) =>
    mountOverlay({
      target: paths.rootfs,
      lower: directories.length === 0 ? [await emptyLower(paths)] : directories,
      isMapped: request.owners !== undefined,
      upper: paths.upper,
      work: paths.work,
      source: 'overlay',
      options: [
        ...labelOption(request),
        // volatile: without it, unmount syncs the whole disk (figures in ../README.md)
        ...(options.isVolatile() ? ([['volatile', true]] as const) : []),
        // with an index, a leftover upper directory cannot be used over other lower ones; the peers turn it off, too
        ['index', 'off'],
        // if off, a copied-up file is complete, and nothing in an upper directory refers to a layer
        ['metacopy', options.metacopy ? 'on' : 'off'],
      ],
    }),
  );
}

/** Mounts an image read-only. */
export async function mountOverlayVolume(
  request: RootRequest & { readonly target: string },
  lower: readonly LowerTree[],
): Promise<void> {
  const { paths, target } = request;
  await withDirectories(
    request,
    lower,
    { lower: paths.lower, work: join(paths.volumes, 'work') },
    async (directories) =>
      mountOverlay({
        // without an upper directory, overlayfs needs at least two lower ones
        target,
        lower: directories.length > 1 ? directories : [...directories, await emptyLower(paths)],
        isMapped: request.owners !== undefined,
        source: 'overlay',
        options: labelOption(request),
        readOnly: true,
        nosuid: true,
        nodev: true,
        noexec: true,
      }),
  );
}

async function withDirectories(
  { owners }: RootRequest,
  lower: readonly LowerTree[],
  scratch: Parameters<typeof withMappedTrees>[1],
  mount: (directories: readonly string[]) => Promise<void>,
): Promise<void> {
  if (owners === undefined || lower.length === 0)
    return mount(lower.map(({ tree, below }) => join(tree, below)));
  const trees = [...new Set(lower.map(({ tree }) => tree))];
  return withMappedTrees(trees, scratch, owners.pin, (mapped) =>
    mount(lower.map(({ tree, below }) => join(mapped.get(tree) ?? tree, below))),
  );
}

/** Gives all files one SELinux label, whatever the label on disk, since pods with different labels share layers. */
function labelOption({ label }: RootRequest): NonNullable<OverlayRequest['options']> {
  return label === undefined ? [] : [['context', label]];
}

/** Creates the upper directory with the attributes for `/`, and an empty work directory. */
export async function makeUpper(
  { id, paths, owners, attempted }: RootRequest,
  top: LowerTree | undefined,
  limit: ContainerLimit,
): Promise<void> {
  // in parallel, since each call goes through the pool
  let root: Stats | undefined;
  await allSettled([
    ...(top === undefined ? [] : [lstat(join(top.tree, top.below)).then((stats) => (root = stats))]),
    makePrivate(paths.upper),
    makeEmpty(paths.work),
  ]);
  await limit.apply(id, [paths.upper, paths.work]);
  const uid = onHost(root?.uid ?? 0, owners?.mappings.uids, attempted);
  const gid = onHost(root?.gid ?? 0, owners?.mappings.gids, attempted);
  // `/` gets the attributes of the upper directory: without them only root could use it. In any order, since chown(2)
  // keeps the mode's setgid bit of a directory (fs/open.c, chown_common)
  await allSettled([
    chown(paths.upper, uid, gid),
    chmod(paths.upper, root === undefined ? ROOT_MODE : root.mode & 0o7777),
  ]);
}

/** True if the directory was not there. */
async function makePrivate(path: string): Promise<boolean> {
  return (await mkdir(path, { recursive: true, mode: PRIVATE_MODE })) !== undefined;
}

/**
 * overlayfs refuses the work directory of an earlier volatile mount (work/incompat/volatile), whose content is not
 * needed.
 */
async function makeEmpty(path: string): Promise<void> {
  // a file in its place fails, and is removed as well
  if (await makePrivate(path).catch(() => false)) return;
  await rm(path, { recursive: true, force: true });
  await makePrivate(path);
}

function onHost(id: number, mapping: IdMapping | undefined, attempted: string): number {
  if (mapping === undefined) return id;
  if (id < mapping.length) return mapping.hostId + id;
  return fail(
    'unsupported',
    `${attempted}: the image's root directory has the owner ${id}, which the pod's user namespace does not map`,
  );
}
