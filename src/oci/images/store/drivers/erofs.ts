/**
 * erofs: a layer is a file that holds a read-only file system, made once when the layer comes; containers mount it
 * through overlayfs, with nothing copied and none of its files on the disk. The mounts are shared by all containers, at
 * `chains/<hex of diff-id>`, and go with the layer or with the daemon (an overlay keeps what it is made of).
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
import { mountOverlayRoot, mountOverlayVolume, unpackedTree } from './overlay.ts';
import type { LowerTree, OverlayOptions } from './overlay.ts';
import type { DriverHost, RootfsDriver, StoredLayer } from './rootfs-driver.ts';

export interface ErofsOptions extends OverlayOptions {
  /** mkfs.erofs, an absolute path. */
  readonly program: string;
}

/** st_blocks counts in these (stat(2)). */
const STAT_BLOCK_BYTES = 512;
/** The layer's directory, its record, its image; of the first two a block each. */
const OWN_INODES = 3;
const OWN_BYTES = 2 * 4096;

/** The driver. */
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
    check: async () => {
      await limit.check(host.paths.containersRoot);
      await images.check();
    },
    layerAdded: (layer) => images.make(layer),
    layerGoing: (layer) => images.unmount(layer),
    treeOf: async (layer) => {
      const { tree, below } = await images.mounted(layer);
      return join(tree, below);
    },
    mountRoot: async (request) => mountOverlayRoot(request, await lower(request.layers), options, limit),
    mountVolume: async (request) => mountOverlayVolume(request, await lower(request.layers)),
    removing: (paths, id) => limit.release(id, paths.dir),
    recover: () => images.finishOrUndo(),
    // the directories alone: what is mounted there is another device
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

  /** Makes and mounts an image of nothing: whether the kernel mounts files is seen by trying (since Linux 6.12, CONFIG_EROFS_FS_BACKED_BY_FILE). */
  async check(): Promise<void> {
    const { root, partial } = this.#host.paths;
    const work = join(partial, this.#host.newName());
    const [tree, image, place] = [join(work, 'tree'), join(work, IMAGE), join(work, 'place')];
    await mkdir(partial, { recursive: true, mode: PRIVATE_MODE });
    try {
      for (const dir of [work, tree, place]) await mkdir(dir, { mode: PRIVATE_MODE });
      await this.#run(tree, image, `use storage driver erofs at ${root}`);
      await mountImage(image, place);
    } catch (error) {
      fail(
        'invalidRequest',
        `use storage driver erofs at ${root}: ${error instanceof Error ? error.message : String(error)} (it needs Linux 6.12, erofs on files)`,
        { subject: root },
      );
    } finally {
      await unmount(place, { lazy: true });
      await rm(work, { recursive: true, force: true });
    }
  }

  /**
   * The layer's files become its image, whole or not at all: until it is named in the record the files stay. A layer that
   * no image can be made of (a sparse file of terabytes) stays unpacked, which overlayfs takes as well.
   */
  async make(layer: StoredLayer): Promise<void> {
    try {
      await this.#locks.with(layer.diffId, () => this.#makeNow(layer));
    } catch (error) {
      this.#host.log.warn(
        { diffId: layer.diffId, fault: toFault(error) },
        'no image could be made of a layer; it stays unpacked',
      );
    }
  }

  async #makeNow({ diffId, dir }: StoredLayer): Promise<void> {
    const [image, tree] = [join(dir, IMAGE), join(dir, DIFF)];
    if (!(await isThere(tree))) return;
    const unfinished = `${image}.new`;
    await rm(unfinished, { force: true });
    // at most what the files take; mkfs.erofs writes it, so that it can't be stopped on the way
    const { usedBytes = 0 } = (await readLayerRecord(dir, diffId, (call) => call())) ?? {};
    demandSpace(dir, await statfs(dir), usedBytes);
    try {
      await this.#run(tree, unfinished, `make the image of layer ${diffId}`);
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

  /** Where the layer's files are, mounted now or by somebody before, or unpacked. */
  async mounted(layer: StoredLayer): Promise<LowerTree> {
    return this.#locks.with(layer.diffId, async () => {
      const image = join(layer.dir, IMAGE);
      if ((await isThere(join(layer.dir, DIFF))) || !(await isThere(image))) return unpackedTree(layer);
      const place = this.#placeOf(layer);
      await mkdir(place, { recursive: true, mode: PRIVATE_MODE });
      if (!(await isOtherDevice(place))) await mountImage(image, place);
      return { tree: place, below: '' };
    });
  }

  /** Of layers that a daemon was making images of when it died: those that their records name replace the files, others go. */
  async finishOrUndo(): Promise<void> {
    const { layers } = this.#host.paths;
    for (const name of await namesIn(layers)) {
      const diffId = parseDigest(`sha256:${name}`);
      // pulls of this process may be at work
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
    await this.#locks.with(layer.diffId, () => drop(this.#placeOf(layer)));
  }

  async unmountAll(): Promise<void> {
    const { chains } = this.#host.paths;
    for (const name of await namesIn(chains)) await drop(join(chains, name));
  }

  #placeOf({ diffId }: StoredLayer): string {
    return join(this.#host.paths.chains, hexOf(diffId));
  }

  async #run(tree: string, image: string, attempted: string): Promise<void> {
    const { clock } = this.#host;
    // chunks: holes and blocks that occur twice cost nothing
    const ended = await runTool({
      argv: [this.#program, `--chunksize=${storageLimits.imageChunkBytes}`, image, tree],
      timeoutMs: storageLimits.imageMs,
      clock,
    });
    if (ended.exitCode === 0 && !ended.timedOut) return;
    const said = printable(Buffer.from(ended.stderr).toString('utf8'));
    fail(
      'outside',
      `${attempted}: ${this.#program} ended with ${ended.timedOut ? 'its time' : `code ${ended.exitCode}`}: ${said}`,
    );
  }
}

async function mountImage(image: string, place: string): Promise<void> {
  await mountFilesystem({ type: 'erofs', source: image, target: place, readOnly: true });
}

async function drop(place: string): Promise<void> {
  // an overlay that is made of it keeps it
  while (await unmount(place, { lazy: true }));
  await rmdir(place).catch(() => undefined);
}
