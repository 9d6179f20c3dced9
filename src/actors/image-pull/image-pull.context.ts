import type { Cause } from '../../base/cause.ts';
import type { Fault } from '../../base/fault.ts';
import type { PullAuth, ResolvedImage } from '../../ports/images.ts';

export type PullAddress = `pull/${string}`;

export interface PullInput {
  readonly owner: PullAddress;
  /** Normalised; a short name with several candidates stays as requested. */
  readonly reference: string;
  /** Kept in memory only: never journalled, logged or shown. */
  readonly auth: PullAuth | undefined;
  /** Kubernetes namespace whose signature policy applies; '' for the node's policy. */
  readonly namespace: string;
  /** The call that began the pull, shown in its history. */
  readonly cause?: Cause;
}

export interface PullContext extends PullInput {
  readonly resolved: ResolvedImage | undefined;
  /** Compressed bytes of all layers, as received; 0 until they are fetched. */
  readonly layerBytes: number;
  readonly fault: Fault | undefined;
}

export type PullEvent =
  /** No caller waits for the pull any more. */
  { readonly type: 'pull.abandon' };
