/** What the process that reads archives is told on its standard input, and answers on its standard output: one JSON text each. */
import type { CheckpointFacts } from '../../../../ports/checkpoint.ts';
import type { Fault } from '../../../../base/fault.ts';

/** The archive's file, or a directory with what is in one. */
export type Place = { readonly archive: string } | { readonly directory: string };

export interface DescribeOrder {
  readonly kind: 'describe';
  readonly place: Place;
}

export interface ImportOrder {
  readonly kind: 'import';
  readonly place: Place;
  /** Of the descriptions that were held against the request. */
  readonly digest: string;
  /** An empty directory of ours. */
  readonly into: string;
  /** The container's root file system, mounted. */
  readonly rootfs: string;
}

export type Order = DescribeOrder | ImportOrder;

export type Answer =
  | { readonly facts: CheckpointFacts }
  | { readonly done: true }
  | { readonly fault: Fault };
