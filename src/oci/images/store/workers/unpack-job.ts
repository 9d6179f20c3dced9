/** One layer unpacked by a worker: written aside, measured, synced, and only then given its name (F07, F20). */
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

/** st_blocks counts in these, whatever the file system's block size (stat(2)). */
const STAT_BLOCK_BYTES = 512;
/** A layer's root that no entry describes; it becomes the container's `/`, so others than root must get through. */
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

  /** Makes the directory aside; throws when the disk does not let it, or `space` has too little of it. */
  constructor(job: UnpackJob, space: SpaceGuard) {
    this.#job = job;
    this.#paths = storePaths(job.root);
    // what others have written since its last answer counts as well
    space.ask();
    this.#dir = join(this.#paths.partial, job.partial);
    mkdirSync(this.#dir, { mode: STORE_MODE });
    try {
      const diff = join(this.#dir, DIFF);
      mkdirSync(diff, { mode: ROOT_MODE });
      this.#rootFd = openSync(diff, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      // whatever the umask
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

  /** The whole blob was written and its digest is right: verifies the diff-id and makes the layer visible. */
  async commit(): Promise<LayerRecord> {
    return this.#named(async () => {
      const { diffId, tarBytes } = await this.#stream.end();
      // what was written is thrown away: a diff-id says what a layer is, and this is not it (F67, S60)
      if (diffId !== this.#job.diffId)
        fail('outside', `the tar has the digest ${diffId}, not the diff-id of the image's config`);
      const { size, ...applied } = this.#applier.complete();
      this.#applier.close();
      const record: LayerRecord = {
        version: 1,
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

  /** Closes and deletes everything that is left of an unpacking that did not come to its end. */
  abandon(): void {
    this.#close();
    this.#removePartial();
  }

  /** Of all that the layer will take, with the record that is still to be written: one block, one inode. */
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
    // One syncfs for all files of the layer, as containerd's image_pull_with_sync_fs does: a sync of each would cost a
    // journal commit per file. It reports write-back errors (Linux 5.8) and comes before the rename, so that after a
    // power loss a layer that has its name has its bytes.
    must(callSync(libc.syncfs, this.#rootFd), 'sync the file system of', this.#dir);
    this.#close();
    const target = layerDir(this.#paths, this.#job.diffId);
    renameSync(this.#dir, target);
    const layers = openSync(this.#paths.layers, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    try {
      fsyncSync(layers);
    } catch (error) {
      // not durable, so not there: deleted under its other name by `abandon`
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

/** ENOSPC says the same of blocks and of inodes; whoever has to make room must know of which (F24). */
function hasNoInodes(path: string): boolean {
  const { files, ffree } = statfsSync(path);
  return files > 0 && ffree === 0;
}
