/**
 * btrfs: a tree of each image's layers in a subvolume of its own, of which every container gets a snapshot. The trees
 * share the blocks of the unpacked layers. `chains/<name>/{layers, tree}`; a chain is made when the first container
 * wants it and goes with the first of its layers.
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
/** While it is being made. */
const UNFINISHED = 'tree.new';
const LAYERS = 'layers';

/** The driver. */
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
        fail('invalidRequest', `${attempted}: this is no btrfs`, { subject: root });
      if (limitBytes !== undefined) await enableQuotas(root);
    },
    layerGoing: ({ diffId }) => chains.dropAllOf(diffId),
    mountRoot: async (request) => {
      refuseLabel(request);
      const { paths, owners } = request;
      await chains.with(request, async (tree) => {
        if (!(await isThere(paths.upper))) await snapshotSubvolume(tree, paths.dir, 'upper');
        // blocks of its own alone: those of the image are the image's
        if (limitBytes !== undefined) await limitSubvolume(paths.upper, limitBytes);
      });
      await showTree(paths.upper, paths.rootfs, owners, false);
    },
    mountVolume: async (request) => {
      refuseLabel(request);
      await chains.with(request, (tree) => showTree(tree, request.target, request.owners, true));
    },
    removing: (paths) =>
      deleteSubvolume(paths.dir, 'upper').catch((error: unknown) => {
        // a container can make subvolumes in its own, nested without bound and with names of any bytes: the trash deletes them
        // entry by entry, as rmdir(2) takes empty ones (Linux 4.18)
        host.log.warn(
          { path: paths.upper, fault: toFault(error) },
          'delete a subvolume with those in it: failed; its files are deleted one by one',
        );
      }),
    recover: () => chains.dropUnfinished(),
    // another device to whoever counts what lies below the container's directory
    writtenTrees: (paths) => [paths.upper],
    imageTrees: () => chains.trees(),
  };
}

function refuseLabel({ label, attempted }: RootRequest): void {
  if (label !== undefined)
    fail(
      'unsupported',
      `${attempted}: snapshots of btrfs share their SELinux labels, and this container has one of its own; use the driver overlay`,
    );
}

class Chains {
  readonly #host: DriverHost;
  readonly #locks = new KeyedMutex('chain of layers', storageLimits.layerWaiting);

  constructor(host: DriverHost) {
    this.#host = host;
  }

  /** Runs `use` with the tree of these layers, which stays for that while. */
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
    // what has its name has its bytes, also after a power loss
    await syncFilesystemOf(dir);
    await rename(join(dir, UNFINISHED), join(dir, TREE));
  }

  /** The layer goes: with it all trees that it is in. Snapshots of containers go on. */
  async dropAllOf(diffId: Digest): Promise<void> {
    for (const dir of await this.#dirs()) {
      if ((await layersOf(dir)).includes(diffId)) await this.#locks.with(dir, () => drop(dir));
    }
  }

  /** What a daemon left that died while it made one. */
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
