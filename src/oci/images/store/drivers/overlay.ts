/** overlayfs of the kernel: the layers as they are, and above them what the container writes. */
import { chmod, chown, lstat, mkdir, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { IdMapping } from '../../../../ports/specs.ts';
import { fail } from '../../../../base/fault.ts';
import { mountOverlay } from '../../../../host/mounts/mounts.ts';
import type { OverlayRequest } from '../../../../host/mounts/mounts.ts';
import { DIFF } from '../records/layer-layout.ts';
import { emptyLower } from './empty-lower.ts';
import { withMappedTrees } from './mapped-layers.ts';
import { PRIVATE_MODE, ROOT_MODE } from './modes.ts';
import { ContainerLimit } from './container-limit.ts';
import type { DriverHost, RootRequest, RootfsDriver, StoredLayer } from './rootfs-driver.ts';

export interface OverlayOptions {
  /** A file whose owner or mode alone is changed is not copied up. */
  readonly metacopy: boolean;
  /** Nothing is synced to the disk: what a container wrote does not survive a power loss, as no container does. */
  readonly isVolatile: boolean;
  /** Bytes that one container may write to its root; left out for no limit. */
  readonly limitBytes?: number | undefined;
}

/** A tree that overlayfs may have as a lower directory: what is to be mapped for other owners, and where below it the layer lies. */
export interface LowerTree {
  readonly tree: string;
  readonly below: string;
}

/** The trees of unpacked layers: all of a store are below one directory. */
export function unpackedTree(layer: StoredLayer): LowerTree {
  return { tree: layer.layers, below: join(relative(layer.layers, layer.dir), DIFF) };
}

/** The driver. */
export function overlayDriver(host: Pick<DriverHost, 'paths'>, options: OverlayOptions): RootfsDriver {
  const limit = new ContainerLimit(options.limitBytes);
  return {
    name: 'overlay',
    check: () => limit.check(host.paths.containersRoot),
    mountRoot: (request) => mountOverlayRoot(request, request.layers.map(unpackedTree), options, limit),
    mountVolume: (request) => mountOverlayVolume(request, request.layers.map(unpackedTree)),
    removing: (paths, id) => limit.release(id, paths.dir),
  };
}

/** A writable root over `lower`. */
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
      upper: paths.upper,
      work: paths.work,
      source: 'overlay',
      options: [
        ...labelOption(request),
        // no sync of the whole disk at unmount (measured: README of the storage directory)
        ...(options.isVolatile ? ([['volatile', true]] as const) : []),
        // with an index a leftover upper can't be used over other lowers; the peers turn it off as well
        ['index', 'off'],
        // off: a copied-up file is a whole file, and nothing in an upper points into a layer
        ['metacopy', options.metacopy ? 'on' : 'off'],
      ],
    }),
  );
}

/** An image, read-only. */
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
        // overlayfs wants two where nothing can be written
        target,
        lower: directories.length > 1 ? directories : [...directories, await emptyLower(paths)],
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

/** All files show with this one label, whatever lies on the disk: layers are shared by pods whose labels differ. */
function labelOption({ label }: RootRequest): NonNullable<OverlayRequest['options']> {
  return label === undefined ? [] : [['context', label]];
}

/** The upper directory with the attributes that `/` shall have, and an empty work directory. */
export async function makeUpper(
  { id, paths, owners, attempted }: RootRequest,
  top: LowerTree | undefined,
  limit: ContainerLimit,
): Promise<void> {
  // overlayfs refuses the work directory of an earlier volatile mount (work/incompat/volatile); it holds nothing of use
  await rm(paths.work, { recursive: true, force: true });
  // side by side: each is a hop through the pool
  const [root] = await Promise.all([
    top === undefined ? undefined : lstat(join(top.tree, top.below)),
    ...[paths.upper, paths.work].map((path) => mkdir(path, { recursive: true, mode: PRIVATE_MODE })),
  ]);
  await limit.apply(id, [paths.upper, paths.work]);
  // the merged root has the attributes of the uppermost directory: without this `/` would be closed to all but root
  await chown(
    paths.upper,
    onHost(root?.uid ?? 0, owners?.mappings.uids, attempted),
    onHost(root?.gid ?? 0, owners?.mappings.gids, attempted),
  );
  await chmod(paths.upper, root === undefined ? ROOT_MODE : root.mode & 0o7777);
}

function onHost(id: number, mapping: IdMapping | undefined, attempted: string): number {
  if (mapping === undefined) return id;
  if (id < mapping.length) return mapping.hostId + id;
  return fail(
    'unsupported',
    `${attempted}: the image's root directory belongs to id ${id}, of which the pod's user namespace has none`,
  );
}
