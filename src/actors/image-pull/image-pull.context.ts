import type { Cause } from '../../base/cause.ts';
import type { Fault } from '../../base/fault.ts';
import type { RegistryAuth, ResolvedImage } from '../../ports/images.ts';

export type PullAddress = `pull/${string}`;

export interface PullInput {
  readonly owner: PullAddress;
  /** Normalised; a short name with several candidates as it was asked for. */
  readonly reference: string;
  /** In memory only: never journalled, logged or shown. */
  readonly auth: RegistryAuth | undefined;
  /** Kubernetes namespace whose signature policy counts; '' for the node's. */
  readonly namespace: string;
  /** The call that asked for it, for people who look at its birth; none for what a restart found. */
  readonly cause?: Cause;
}

export interface PullContext extends PullInput {
  readonly resolved: ResolvedImage | undefined;
  /** Of all its layers, as they were received; 0 until they are here. */
  readonly layerBytes: number;
  readonly fault: Fault | undefined;
}

export type PullEvent =
  /** Nobody waits for it any more. */
  { readonly type: 'pull.abandon' };
