/** The messages between the main thread and storage workers. Each job has its own channel. */
import type { MessagePort } from 'node:worker_threads';
import type { Fault } from '../../../../base/fault.ts';
import type { Digest } from '../../../../base/ids.ts';
import type { FlattenRequest } from '../drivers/rootfs-driver.ts';
import type { LayerRecord } from '../records/layer-record.ts';
import type { Emptied } from '../../../trees/tree-empty.ts';
import type { Measured } from '../../../trees/tree-measure.ts';
import type { Removal } from '../../../trees/tree-removal.ts';

export interface UnpackJob {
  readonly kind: 'unpack';
  readonly root: string;
  /** A new name below `partial/`. */
  readonly partial: string;
  readonly diffId: Digest;
  readonly blobDigest: Digest;
  /** If set, the blob is not an archive but one file with this path. */
  readonly file?: string;
  readonly entries: number;
  readonly layerBytes: number;
}

export interface RemoveJob {
  readonly kind: 'remove';
  /** Absolute path of a tree in the trash, or of one that is no longer in use. */
  readonly path: string;
}

/** Deletes everything in a trash directory. */
export interface EmptyJob {
  readonly kind: 'empty';
  readonly directory: string;
}

export interface MeasureJob {
  readonly kind: 'measure';
  readonly paths: readonly string[];
}

/** Copies unpacked layers over each other. */
export interface FlattenJob extends FlattenRequest {
  readonly kind: 'flatten';
  /** Whether a worker crashed during an earlier attempt, whose files must be deleted first. */
  readonly isAgain?: boolean;
}

/** A removal's result without the error object, which cannot be sent between threads. */
export type RemovalReport = Omit<Removal, 'error'>;

export type WorkerJob = UnpackJob | RemoveJob | EmptyJob | MeasureJob | FlattenJob;

/** Main thread to worker, on its own port; `port` is the job's channel. */
export type ToWorker =
  | { readonly type: 'job'; readonly job: WorkerJob; readonly port: MessagePort }
  | { readonly type: 'exit' };

/** Main thread to a job. */
export type ToJob =
  | { readonly type: 'chunk'; readonly bytes: Uint8Array<ArrayBuffer> }
  /** The blob is complete and verified: make the layer visible. */
  | { readonly type: 'end' }
  | { readonly type: 'cancel' };

export type JobResult =
  | { readonly kind: 'unpack'; readonly record: LayerRecord }
  | { readonly kind: 'remove'; readonly removal: RemovalReport }
  | ({ readonly kind: 'empty' } & Emptied)
  | { readonly kind: 'flatten' }
  /** One size for each path, in the same order. */
  | { readonly kind: 'measure'; readonly sizes: readonly Measured[] };

/** A job to the main thread. `done` or `failed` is the last message; after it, no unfinished files are left. */
export type FromJob =
  | { readonly type: 'credit'; readonly bytes: number }
  | { readonly type: 'done'; readonly result: JobResult }
  | { readonly type: 'failed'; readonly fault: Fault };
