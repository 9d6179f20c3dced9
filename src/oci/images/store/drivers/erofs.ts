/**
 * erofs: each layer is converted once into an image file with a read-only file system, and its unpacked files are
 * deleted. Containers use the mounted images as lower directories of overlayfs, without copies. All containers share
 * the mounts at `chains/<hex of diff-id>`. They are unmounted when the layer is deleted or the daemon exits; a mounted
 * overlay keeps its lower file systems in use.
 */
import { lstat, mkdir, rename, rm, rmdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyedMutex } from '../../../../base/bounded.ts';
import { fail, printable, toFault } from '../../../../base/fault.ts';
import { hexOf, parseDigest } from '../../../../base/ids.ts';
import type { Digest } from '../../../../base/ids.ts';
import { storageLimits } from '../../../bounds.ts';
import { demandSpace } from '../../../../host/files/free-space.ts';
import { isThere } from '../../../../host/files/is-there.ts';
import { isOtherDevice } from '../../../../host/mounts/mount-point.ts';
import { mountFilesystem, unmount } from '../../../../host/mounts/mounts.ts';
import { runTool } from '../../../../host/process/process-tool.ts';
import { syncPath } from '../../../../host/files/sync-path.ts';
import { DIFF, IMAGE, RECORD } from '../records/layer-layout.ts';
import { readLayerRecord, rewriteLayerRecord } from '../records/layer-record.ts';
import { namesIn } from '../records/names-in.ts';
import { ContainerLimit } from './container-limit.ts';
import { PRIVATE_MODE } from './modes.ts';
import { mountOverlayRoot, mountOverlayVolume, OVERLAY_LEFT, unpackedTree } from './overlay.ts';
import type { LowerTree, OverlayOptions } from './overlay.ts';
import type { DriverHost, RootfsDriver, StoredLayer } from './rootfs-driver.ts';

export interface ErofsOptions extends OverlayOptions {
  /** Absolute path of mkfs.erofs. */
  readonly program: string;
}

/** The unit of st_blocks (stat(2)). */
const STAT_BLOCK_BYTES = 512;
/** Inodes of a layer: directory, record and image. Bytes: one block each for directory and record. */
const OWN_INODES = 3;
const OWN_BYTES = 2 * 4096;

/** Creates the driver. */
export function erofsDriver(host: DriverHost, options: ErofsOptions): RootfsDriver {
  const images = new Images(host, options.program);
  const limit = new ContainerLimit(options.limitBytes);
  const lower = async (layers: readonly StoredLayer[]): Promise<LowerTree[]> => {
    const trees: LowerTree[] = [];
    for (const layer of layers) trees.push(await images.mounted(layer));
    return trees;
  };
  return {
    name: 'erofs',
    leftEntries: OVERLAY_LEFT,
    check: async () => {
      await limit.check(host.paths.containersRoot);
      await images.check();
    },
    layerAdded: (layer) => images.make(layer),
    removingLayer: (layer) => images.unmount(layer),
    treeOf: async (layer) => {
      const { tree, below } = await images.mounted(layer);
      return join(tree, below);
    },
    mountRoot: async (request) => mountOverlayRoot(request, await lower(request.layers), options, limit),
    mountVolume: async (request) => mountOverlayVolume(request, await lower(request.layers)),
    ...limit.ofDriver(),
    recover: () => images.finishOrUndo(),
    // counts only the mount points: the mounted images are other devices
    imageTrees: async () => ((await namesIn(host.paths.chains)).length === 0 ? [] : [host.paths.chains]),
    close: () => images.unmountAll(),
  };
}

class Images {
  readonly #host: DriverHost;
  readonly #program: string;
  readonly #locks = new KeyedMutex('layer image', storageLimits.layerWaiting);

  constructor(host: DriverHost, program: string) {
    this.#host = host;
    this.#program = program;
  }

  /**
   * Creates and mounts an empty image, to find out whether the kernel can mount files (Linux 6.12,
   * CONFIG_EROFS_FS_BACKED_BY_FILE).
   */
  async check(): Promise<void> {
    const { root, partial } = this.#host.paths;
    const work = join(partial, this.#host.newName());
    const [tree, image, target] = [join(work, 'tree'), join(work, IMAGE), join(work, 'mount')];
    await mkdir(partial, { recursive: true, mode: PRIVATE_MODE });
    try {
      for (const dir of [work, tree, target]) await mkdir(dir, { mode: PRIVATE_MODE });
      await this.#run(tree, image, `use storage driver erofs at ${root}`);
      await mountImage(image, target);
    } catch (error) {
      fail(
        'invalidRequest',
        `use storage driver erofs at ${root}: ${error instanceof Error ? error.message : String(error)} (requires Linux 6.12 with CONFIG_EROFS_FS_BACKED_BY_FILE)`,
        { subject: root },
      );
    } finally {
      await unmount(target, { lazy: true });
      await rm(work, { recursive: true, force: true });
    }
  }

  /**
   * Converts the layer's files into its image. The files are deleted only after the record names the image. A layer
   * that cannot be converted, such as one with a sparse file of terabytes, stays unpacked; overlayfs can use it, too.
   */
  async make(layer: StoredLayer): Promise<void> {
    try {
      await this.#locks.with(layer.diffId, () => this.#makeNow(layer));
    } catch (error) {
      this.#host.log.warn(
        { diffId: layer.diffId, fault: toFault(error) },
        'create erofs image of layer: failed; the layer stays unpacked',
      );
    }
  }

  async #makeNow({ diffId, dir }: StoredLayer): Promise<void> {
    const [image, tree] = [join(dir, IMAGE), join(dir, DIFF)];
    if (!(await isThere(tree))) return;
    const unfinished = `${image}.new`;
    await rm(unfinished, { force: true });
    // the image needs at most the size of the files; check first, since mkfs.erofs cannot be stopped at a limit
    const { usedBytes = 0 } = (await readLayerRecord(dir, diffId, (call) => call())) ?? {};
    demandSpace(dir, await statfs(dir), usedBytes);
    try {
      await this.#run(tree, unfinished, `create erofs image of layer ${diffId}`);
    } catch (error) {
      await rm(unfinished, { force: true });
      throw error;
    }
    await syncPath(unfinished);
    await rename(unfinished, image);
    const { size, blocks } = await lstat(image);
    await rewriteLayerRecord(dir, diffId, (record) => ({
      ...record,
      imageBytes: size,
      usedBytes: blocks * STAT_BLOCK_BYTES + OWN_BYTES,
      inodes: OWN_INODES,
    }));
    await this.#host.discard(tree);
  }

  /** The tree with the layer's files: its mounted image, which is mounted if necessary, or the unpacked files. */
  async mounted(layer: StoredLayer): Promise<LowerTree> {
    return this.#locks.with(layer.diffId, async () => {
      const image = join(layer.dir, IMAGE);
      if ((await isThere(join(layer.dir, DIFF))) || !(await isThere(image))) return unpackedTree(layer);
      const target = this.#mountPointOf(layer);
      await mkdir(target, { recursive: true, mode: PRIVATE_MODE });
      if (!(await isOtherDevice(target))) await mountImage(image, target);
      return { tree: target, below: '' };
    });
  }

  /**
   * Handles conversions that a killed daemon did not finish: deletes the files if the record names the image, else the
   * image.
   */
  async finishOrUndo(): Promise<void> {
    const { layers } = this.#host.paths;
    for (const name of await namesIn(layers)) {
      const diffId = parseDigest(`sha256:${name}`);
      // lock: a pull of this process may be converting the layer
      if (diffId !== undefined)
        await this.#locks.with(diffId, () => this.#finishOrUndoOne(join(layers, name), diffId));
    }
  }

  async #finishOrUndoOne(dir: string, diffId: Digest): Promise<void> {
    if (!(await isThere(join(dir, DIFF)))) return;
    const record = await readLayerRecord(dir, diffId, (call) => call());
    if (record?.imageBytes === undefined) await rm(join(dir, IMAGE), { force: true });
    else await this.#host.discard(join(dir, DIFF));
    for (const other of await namesIn(dir))
      if (![DIFF, RECORD, IMAGE].includes(other)) await rm(join(dir, other), { force: true });
  }

  async unmount(layer: StoredLayer): Promise<void> {
    await this.#locks.with(layer.diffId, () => drop(this.#mountPointOf(layer)));
  }

  async unmountAll(): Promise<void> {
    const { chains } = this.#host.paths;
    for (const name of await namesIn(chains)) await drop(join(chains, name));
  }

  #mountPointOf({ diffId }: StoredLayer): string {
    return join(this.#host.paths.chains, hexOf(diffId));
  }

  async #run(tree: string, image: string, attempted: string): Promise<void> {
    const { clock } = this.#host;
    // with chunks, holes and repeated blocks take no space
    const ended = await runTool({
      argv: [this.#program, `--chunksize=${storageLimits.imageChunkBytes}`, image, tree],
      timeoutMs: storageLimits.imageMs,
      clock,
    });
    if (ended.exitCode === 0 && !ended.timedOut) return;
    const said = printable(Buffer.from(ended.stderr).toString('utf8'));
    fail(
      'outside',
      `${attempted}: ${this.#program}: ${ended.timedOut ? `timed out after ${storageLimits.imageMs / 1000}s` : `exit code ${ended.exitCode}`}: ${said}`,
    );
  }
}

async function mountImage(image: string, target: string): Promise<void> {
  await mountFilesystem({ type: 'erofs', source: image, target, readOnly: true });
}

async function drop(mountPoint: string): Promise<void> {
  // a mounted overlay keeps using its lower file systems
  while (await unmount(mountPoint, { lazy: true }));
  await rmdir(mountPoint).catch(() => undefined);
}
