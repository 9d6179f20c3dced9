/**
 * Messages of the process that reads archives: a request on its standard input and an answer on its standard output,
 * each one JSON text.
 */
import type { CheckpointFacts } from '../../../../ports/checkpoint.ts';
import type { Fault } from '../../../../base/fault.ts';

/** The archive's file, or a directory with its content. */
export type ArchiveSource = { readonly archive: string } | { readonly directory: string };

export interface DescribeOrder {
  readonly kind: 'describe';
  readonly source: ArchiveSource;
}

export interface ImportOrder {
  readonly kind: 'import';
  readonly source: ArchiveSource;
  /** Digest of the descriptions that were compared with the request. */
  readonly digest: string;
  /** An empty directory of ours. */
  readonly into: string;
  /** The container's mounted root file system. */
  readonly rootfs: string;
}

export type Order = DescribeOrder | ImportOrder;

export type ReaderAnswer =
  | { readonly facts: CheckpointFacts }
  | { readonly done: true }
  | { readonly fault: Fault };
