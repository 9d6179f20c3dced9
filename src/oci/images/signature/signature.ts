import type { Digest } from '../../../base/ids.ts';
import type { ImageReference } from '../model/reference.ts';

/** One signature as fetched. It is untrusted. */
export type Signature =
  /** An OpenPGP message that includes the signed content, containers-signature(5). */
  | { readonly kind: 'simple'; readonly message: Uint8Array }
  | { readonly kind: 'sigstore'; readonly payload: Uint8Array; readonly parts: SigstoreParts };

/** Annotations of a layer of a signature manifest; missing ones are empty. */
export interface SigstoreParts {
  /** base64. */
  readonly signature: string;
  /** PEM. */
  readonly certificate: string;
  /** PEM, the root last. */
  readonly chain: string;
  /** JSON of Rekor's signed entry. */
  readonly bundle: string;
}

/** What signatures must be for. */
export interface Subject {
  /** The requested reference. */
  readonly reference: ImageReference;
  /** Digest of the platform's manifest, then of its index, if any. Each one identifies this image on this platform. */
  readonly digests: readonly Digest[];
}
