/**
 * btrfs: the layers of each image are copied into one subvolume, and each container gets a snapshot of it. The copies
 * share the blocks of the unpacked layers. A chain, `chains/<name>/{layers, tree}`, is created for its first container
 * and deleted with the first of its layers.
 */
import { createHash } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyedMutex } from '../../../../base/bounded.ts';
import { fail, toFault } from '../../../../base/fault.ts';
import type { Digest } from '../../../../base/ids.ts';
import { storageLimits } from '../../../bounds.ts';
import {
  BTRFS_MAGIC,
  createSubvolume,
  deleteSubvolume,
  enableQuotas,
  limitSubvolume,
  snapshotSubvolume,
  syncFilesystemOf,
} from '../../../../host/files/btrfs.ts';
import { filesystemType } from '../../../../host/files/directory-lock.ts';
import { isThere } from '../../../../host/files/is-there.ts';
import { readSmallFile } from '../../../../host/files/small-file.ts';
import { namesIn } from '../records/names-in.ts';
import { showTree, unpackedLayers } from './copied-tree.ts';
import { PRIVATE_MODE } from './modes.ts';
import type { DriverHost, RootRequest, RootfsDriver } from './rootfs-driver.ts';

const TREE = 'tree';
/** Name of the tree while it is being created. */
const UNFINISHED = 'tree.new';
const LAYERS = 'layers';

/** Creates the driver. */
export function btrfsDriver(
  host: DriverHost,
  { limitBytes }: { readonly limitBytes?: number | undefined } = {},
): RootfsDriver {
  const chains = new Chains(host);
  return {
    name: 'btrfs',
    check: async () => {
      const { root, containersRoot } = host.paths;
      const attempted = `use storage driver btrfs at ${containersRoot}`;
      if (root !== containersRoot)
        fail(
          'invalidRequest',
          `${attempted}: containers are snapshots of images and need them on the same file system: storage.image_store must be empty`,
        );
      await mkdir(root, { recursive: true, mode: PRIVATE_MODE });
      if ((await filesystemType(root)) !== BTRFS_MAGIC)
        fail('invalidRequest', `${attempted}: not a btrfs file system`, { subject: root });
      if (limitBytes !== undefined) await enableQuotas(root);
    },
    removingLayer: ({ diffId }) => chains.dropAllOf(diffId),
    mountRoot: async (request) => {
      refuseLabel(request);
      const { paths, owners } = request;
      await chains.with(request, async (tree) => {
        if (!(await isThere(paths.upper))) await snapshotSubvolume(tree, paths.dir, 'upper');
        // the limit counts only blocks of the snapshot itself, not those shared with the image
        if (limitBytes !== undefined) await limitSubvolume(paths.upper, limitBytes);
      });
      await showTree(paths.upper, paths.rootfs, owners, false);
    },
    mountVolume: async (request) => {
      refuseLabel(request);
      await chains.with(request, (tree) => showTree(tree, request.target, request.owners, true));
    },
    removingRoot: (paths) =>
      deleteSubvolume(paths.dir, 'upper').catch((error: unknown) => {
        // a container can create subvolumes below its own, nested to any depth and with any names; the trash deletes
        // them entry by entry, since rmdir(2) removes empty subvolumes (Linux 4.18)
        host.log.warn(
          { path: paths.upper, fault: toFault(error) },
          'delete subvolume: failed; deleting its files one by one',
        );
      }),
    recover: () => chains.dropUnfinished(),
    // a subvolume is another device, so a measurement of the container's directory does not include it
    writtenTrees: (paths) => [paths.upper],
    imageTrees: () => chains.trees(),
  };
}

function refuseLabel({ label, attempted }: RootRequest): void {
  if (label !== undefined)
    fail(
      'unsupported',
      `${attempted}: the container has an SELinux label, but btrfs snapshots share their labels; use the storage driver overlay`,
    );
}

class Chains {
  readonly #host: DriverHost;
  readonly #locks = new KeyedMutex('chain of layers', storageLimits.layerWaiting);

  constructor(host: DriverHost) {
    this.#host = host;
  }

  /** Runs `use` with the tree of these layers, which is not deleted meanwhile. */
  async with({ layers }: RootRequest, use: (tree: string) => Promise<void>): Promise<void> {
    const diffIds = layers.map(({ diffId }) => diffId).join('\n');
    const dir = join(this.#host.paths.chains, createHash('sha256').update(diffIds).digest('hex'));
    await this.#locks.with(dir, async () => {
      const tree = join(dir, TREE);
      if (!(await isThere(tree))) await this.#make(dir, diffIds, unpackedLayers(layers));
      await use(tree);
    });
  }

  async #make(dir: string, diffIds: string, layers: readonly string[]): Promise<void> {
    await mkdir(dir, { recursive: true, mode: PRIVATE_MODE });
    await writeFile(join(dir, LAYERS), diffIds, { mode: 0o600 });
    await deleteSubvolume(dir, UNFINISHED);
    await createSubvolume(dir, UNFINISHED);
    await this.#host.flatten({
      layers,
      target: join(dir, UNFINISHED),
      scratch: join(dir, UNFINISHED, `.links-${this.#host.newName()}`),
    });
    // sync before the rename: a tree with its final name must be complete even after a power loss
    await syncFilesystemOf(dir);
    await rename(join(dir, UNFINISHED), join(dir, TREE));
  }

  /** Deletes all trees that contain the layer. Snapshots of containers stay usable. */
  async dropAllOf(diffId: Digest): Promise<void> {
    for (const dir of await this.#dirs()) {
      if ((await layersOf(dir)).includes(diffId)) await this.#locks.with(dir, () => drop(dir));
    }
  }

  /** Deletes trees that an earlier daemon did not finish. */
  async dropUnfinished(): Promise<void> {
    for (const dir of await this.#dirs()) {
      await this.#locks.with(dir, async () => {
        await deleteSubvolume(dir, UNFINISHED);
        if (!(await isThere(join(dir, TREE)))) await drop(dir);
      });
    }
  }

  async trees(): Promise<string[]> {
    return (await this.#dirs()).flatMap((dir) => [dir, join(dir, TREE)]);
  }

  async #dirs(): Promise<string[]> {
    const { chains } = this.#host.paths;
    return (await namesIn(chains)).map((name) => join(chains, name));
  }
}

async function drop(dir: string): Promise<void> {
  await deleteSubvolume(dir, UNFINISHED);
  await deleteSubvolume(dir, TREE);
  await rm(dir, { recursive: true, force: true });
}

async function layersOf(dir: string): Promise<readonly string[]> {
  return (
    (
      await readSmallFile(join(dir, LAYERS), {
        usualBytes: storageLimits.noteBytes,
        bytesMax: storageLimits.noteBytes,
      })
    )?.split('\n') ?? []
  );
}
