/** Registries: what a reference means now, and its layers brought into the layer store. */
import type { Digest, ImageId } from '../base/ids.ts';
import type { EffectContext } from './effect.ts';
import type { ImageConfig, ImageSource, Layer } from './specs.ts';

/** Credentials of one pull. Never journalled, logged or shown. */
export interface RegistryAuth {
  readonly username: string;
  readonly password: string;
  /** base64 of `username:password`. */
  readonly auth: string;
  readonly identityToken: string;
  readonly registryToken: string;
  readonly serverAddress: string;
}

export interface ResolvedImage extends Pick<ImageSource, 'checkpointOf'> {
  readonly id: ImageId;
  /** Normalised reference with tag; empty when asked by digest only. */
  readonly repoTag: string;
  /** Normalised repository with the digest of what was asked for (an index's own, where it is one). */
  readonly repoDigest: string;
  /** Of the manifest for this machine's platform: the one in `repoDigest` where there was no index. */
  readonly manifestDigest: Digest;
  /** Lowest first. */
  readonly layers: readonly Layer[];
  readonly config: ImageConfig;
  /** Of the config's document, as it was received. */
  readonly configBytes: number;
}

export interface ImagesPort {
  /**
   * The normalised references (`docker.io/library/busybox:latest`) that a text may mean, in the order to try, at least
   * one: several for a short name with more than one search registry (containers-registries.conf(5)). Throws FaultError
   * `invalidRequest`. Waits for nothing; a reload of registries.conf may change the answer.
   */
  candidates(reference: string): readonly string[];
  /**
   * Credentials that were left on the node for one pull of this reference in this Kubernetes namespace; they are taken
   * away with the asking. Undefined for none, and where none are configured.
   */
  takeCredentials(
    input: { readonly reference: string; readonly namespace: string },
    fx: EffectContext,
  ): Promise<RegistryAuth | undefined>;
  /** Manifest, platform choice, config: every byte verified. The first of the reference's candidates that a registry has. */
  resolve(
    input: { readonly reference: string; readonly auth: RegistryAuth | undefined },
    fx: EffectContext,
  ): Promise<ResolvedImage>;
  /**
   * Downloads, verifies and unpacks one layer into the store under its diff-id; it is there whole and durable or
   * not at all. Returns at once when the store has it. `onBytes` counts downloaded bytes. What came of a blob before it
   * failed, or its daemon died, may be kept until `dropPartials`: then only the rest is asked for, and all of it verified.
   * Gives the bytes of the blob that the layer in the store was unpacked from, which need not be this manifest's.
   */
  fetchLayer(
    input: {
      readonly reference: string;
      readonly repoDigest: string;
      readonly auth: RegistryAuth | undefined;
      /** Kubernetes namespace of the pull, by which registries' slowness is kept apart; '' or left out for none. */
      readonly namespace?: string;
      readonly layer: Layer;
    },
    fx: EffectContext & { onBytes(downloaded: number): void },
  ): Promise<number>;
  /** Deletes what downloads that did not come to their end have left of blobs, but of these and of those that are under way. */
  dropPartials(input: { readonly keep: readonly Digest[] }, fx: EffectContext): Promise<void>;
}

export type { Digest };
