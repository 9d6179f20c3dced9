/**
 * Unpacks one layer in a worker: writes it below `partial/`, measures and syncs it, and only then renames it (F07,
 * F20).
 */
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  statSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fail, toFault, FaultError } from '../../../../base/fault.ts';
import { must } from '../../../../host/ffi/errno.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../../../host/ffi/constants.ts';
import { callSync, libc } from '../../../../host/ffi/ffi.ts';
import type { SpaceGuard } from '../../../../host/files/free-space.ts';
import { LayerApplier } from '../../../layers/unpack-apply.ts';
import { FileStream } from './unpack-file.ts';
import { LayerStream } from '../../../layers/unpack-stream.ts';
import { encodeLayerRecord } from '../records/layer-record.ts';
import type { LayerRecord } from '../records/layer-record.ts';
import { DIFF, RECORD, layerDir, storePaths } from '../records/layer-layout.ts';
import type { StorePaths } from '../records/layer-layout.ts';
import { measureTrees, removePath } from '../../../trees/remove-tree.ts';
import type { TreeSize } from '../../../trees/tree-measure.ts';
import type { UnpackJob } from './worker-protocol.ts';
import { storedVersions } from '../../../../base/stored-versions.ts';

/** The unit of st_blocks, whatever the file system's block size (stat(2)). */
const STAT_BLOCK_BYTES = 512;
/**
 * Mode of a layer's root without an entry. It becomes the container's `/`, so other users must be able to traverse it.
 */
const ROOT_MODE = 0o755;
const STORE_MODE = 0o700;

export class LayerUnpack {
  readonly #job: UnpackJob;
  readonly #paths: StorePaths;
  readonly #dir: string;
  readonly #rootFd: number;
  readonly #applier: LayerApplier;
  readonly #stream: LayerStream | FileStream;
  #blobBytes = 0;
  #closed = false;

  /** Creates the directory below `partial/`. Throws if that fails or `space` finds too little free space. */
  constructor(job: UnpackJob, space: SpaceGuard) {
    this.#job = job;
    this.#paths = storePaths(job.root);
    // call statfs again: others may have written since the last time
    space.ask();
    this.#dir = join(this.#paths.partial, job.partial);
    mkdirSync(this.#dir, { mode: STORE_MODE });
    try {
      const diff = join(this.#dir, DIFF);
      mkdirSync(diff, { mode: ROOT_MODE });
      this.#rootFd = openSync(diff, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      // mkdir applies the umask
      fchmodSync(this.#rootFd, ROOT_MODE);
    } catch (error) {
      this.#removePartial();
      throw error;
    }
    this.#applier = new LayerApplier(this.#rootFd, space);
    this.#stream =
      job.file === undefined
        ? new LayerStream(this.#applier, job)
        : new FileStream(this.#applier, job.file, job);
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#blobBytes += bytes.length;
    await this.#named(() => this.#stream.write(bytes));
  }

  /**
   * Verifies the diff-id and makes the layer visible. The caller has written the whole blob and verified its digest.
   */
  async commit(): Promise<LayerRecord> {
    return this.#named(async () => {
      const { diffId, tarBytes } = await this.#stream.end();
      // the caller then abandons the files: this is not the layer that the image's config names (F67, S60)
      if (diffId !== this.#job.diffId)
        fail('outside', `the tar has the digest ${diffId}, not the diff-id of the image's config`);
      const { size, ...applied } = this.#applier.complete();
      this.#applier.close();
      const record: LayerRecord = {
        version: storedVersions.layerRecord,
        diffId: this.#job.diffId,
        blobDigest: this.#job.blobDigest,
        blobBytes: this.#blobBytes,
        tarBytes,
        ...applied,
        ...this.#sizeWith(size),
      };
      this.#publish(record);
      return record;
    });
  }

  /** Closes and deletes everything of an unfinished layer. */
  abandon(): void {
    this.#close();
    this.#removePartial();
  }

  /** The size of the whole layer, plus one block and one inode for the record, which is written later. */
  #sizeWith(written: TreeSize | undefined): TreeSize {
    const { blksize } = fstatSync(this.#rootFd);
    if (written === undefined) {
      const measured = measureTrees([this.#dir]);
      return { usedBytes: measured.usedBytes + blksize, inodes: measured.inodes + 1 };
    }
    const own = [fstatSync(this.#rootFd), statSync(this.#dir)];
    return {
      usedBytes:
        own.reduce((sum, { blocks }) => sum + blocks * STAT_BLOCK_BYTES, written.usedBytes) + blksize,
      inodes: written.inodes + own.length + 1,
    };
  }

  #publish(record: LayerRecord): void {
    writeFileSync(join(this.#dir, RECORD), encodeLayerRecord(record), { mode: 0o600, flag: 'wx' });
    // One syncfs for all files of the layer, as with containerd's image_pull_with_sync_fs: an fsync of each file would
    // cost a journal commit per file. syncfs reports write-back errors (since Linux 5.8). It comes before the rename,
    // so that a layer that has its name is complete even after a power loss.
    must(callSync(libc.syncfs, this.#rootFd), 'sync the file system of', this.#dir);
    this.#close();
    const target = layerDir(this.#paths, this.#job.diffId);
    renameSync(this.#dir, target);
    const layers = openSync(this.#paths.layers, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    try {
      fsyncSync(layers);
    } catch (error) {
      // the rename is not durable: undo it, so that `abandon` deletes the layer
      renameSync(target, this.#dir);
      throw error;
    } finally {
      closeSync(layers);
    }
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream.destroy();
    this.#applier.close();
    closeSync(this.#rootFd);
  }

  #removePartial(): void {
    removePath(this.#dir);
  }

  async #named<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const isFull = toFault(error).kind === 'exhausted' && hasNoInodes(this.#paths.root);
      const named = toFault(
        error,
        `unpack layer ${this.#job.diffId}${isFull ? ': the disk has no inode left' : ''}`,
      );
      throw new FaultError({ ...named, subject: this.#job.diffId });
    }
  }
}

/**
 * Whether inodes have run out: ENOSPC does not say whether blocks or inodes are missing, but the operator must know
 * (F24).
 */
function hasNoInodes(path: string): boolean {
  const { files, ffree } = statfsSync(path);
  return files > 0 && ffree === 0;
}
