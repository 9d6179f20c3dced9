/** What main thread and storage workers say to each other. A job has a channel of its own, so that jobs don't mix. */
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
  /** A fresh name below `partial/`. */
  readonly partial: string;
  readonly diffId: Digest;
  readonly blobDigest: Digest;
  /** The blob is no archive but one file, which gets this path. */
  readonly file?: string;
  readonly entries: number;
  readonly layerBytes: number;
}

export interface RemoveJob {
  readonly kind: 'remove';
  /** Absolute; with everything below it. In the trash, or as good as there: nobody else uses it. */
  readonly path: string;
}

/** Deletes all that lies in a trash, each entry on its own. */
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
  /** A worker has ended over it: what it has made is deleted first. */
  readonly isAgain?: boolean;
}

/** Without the error itself, which does not cross threads. */
export type RemovalReport = Omit<Removal, 'error'>;

export type Job = UnpackJob | RemoveJob | EmptyJob | MeasureJob | FlattenJob;

/** Main thread to worker, on its own port; `port` is the job's channel. */
export type ToWorker =
  | { readonly type: 'job'; readonly job: Job; readonly port: MessagePort }
  | { readonly type: 'exit' };

/** Main thread to a job. */
export type ToJob =
  | { readonly type: 'chunk'; readonly bytes: Uint8Array<ArrayBuffer> }
  /** The blob was whole and verified: make the layer visible. */
  | { readonly type: 'end' }
  | { readonly type: 'cancel' };

export type JobResult =
  | { readonly kind: 'unpack'; readonly record: LayerRecord }
  | { readonly kind: 'remove'; readonly removal: RemovalReport }
  | ({ readonly kind: 'empty' } & Emptied)
  | { readonly kind: 'flatten' }
  /** For each path, in their order. */
  | { readonly kind: 'measure'; readonly sizes: readonly Measured[] };

/** A job to the main thread; after `done` or `failed` nothing follows, and nothing half made is left. */
export type FromJob =
  | { readonly type: 'credit'; readonly bytes: number }
  | { readonly type: 'done'; readonly result: JobResult }
  | { readonly type: 'failed'; readonly fault: Fault };
