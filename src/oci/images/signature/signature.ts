import type { Digest } from '../../../base/ids.ts';
import type { ImageReference } from '../model/reference.ts';

/** One signature as it was fetched; nothing of it is trusted. */
export type Signature =
  /** An OpenPGP message that holds what it signs, containers-signature(5). */
  | { readonly kind: 'simple'; readonly message: Uint8Array }
  | { readonly kind: 'sigstore'; readonly payload: Uint8Array; readonly parts: SigstoreParts };

/** Annotations of a layer of a signature manifest; '' for one that is not there. */
export interface SigstoreParts {
  /** base64. */
  readonly signature: string;
  /** PEM. */
  readonly certificate: string;
  /** PEM, the root last. */
  readonly chain: string;
  /** JSON: what Rekor has signed. */
  readonly bundle: string;
}

/** For what signatures have to be. */
export interface Subject {
  /** What was asked for. */
  readonly reference: ImageReference;
  /** Of the platform's manifest, then of the index that leads to it, where there is one: each stands for this image alone. */
  readonly digests: readonly Digest[];
}
