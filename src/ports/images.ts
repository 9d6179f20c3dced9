/** Registries: resolving references, and downloading layers into the layer store. */
import type { Digest, ImageId } from '../base/ids.ts';
import type { EffectContext } from './effect.ts';
import type { ImageConfig, ImageSource, Layer } from './specs.ts';

/** Credentials of one pull. They are never journalled, logged or shown. */
export interface RegistryAuth {
  readonly username: string;
  readonly password: string;
  /** base64 of `username:password`. */
  readonly auth: string;
  readonly identityToken: string;
  readonly registryToken: string;
  readonly serverAddress: string;
}

/** Credentials that were left on the node for one pull, with the only place that may receive them. */
export interface DepositedAuth {
  /** `host[:port]` of a registry or a mirror. */
  readonly host: string;
  readonly repository: string;
  readonly auth: RegistryAuth;
}

/** What one pull has beside the node's own credentials. Never journalled, logged or shown. */
export interface PullAuth {
  /** Of the request: they take precedence at their own registry. */
  readonly brought: RegistryAuth | undefined;
  readonly deposited: readonly DepositedAuth[];
}

export interface ResolvedImage extends Pick<ImageSource, 'checkpointOf'> {
  readonly id: ImageId;
  /** Normalised reference with tag; empty when the image was requested by digest only. */
  readonly repoTag: string;
  /** Normalised repository with the digest that was requested: the index's own where there is an index. */
  readonly repoDigest: string;
  /** Digest of the manifest for this machine's platform: the one in `repoDigest` where there is no index. */
  readonly manifestDigest: Digest;
  /** Lowest first. */
  readonly layers: readonly Layer[];
  readonly config: ImageConfig;
  /** Size of the config document as received. */
  readonly configBytes: number;
}

export interface ImagesPort {
  /**
   * The normalised references (`docker.io/library/busybox:latest`) that a text may stand for, in the order to
   * try them, at least one. A short name has several where there is more than one search registry
   * (containers-registries.conf(5)). Throws FaultError `invalidRequest`. Waits for nothing. A reload of
   * registries.conf may change the answer.
   */
  candidates(reference: string): readonly string[];
  /** What `candidates` goes by: another object once its answers may be others. */
  naming(): object;
  /**
   * Takes the credentials that were left on the node for one pull of this reference, as the request writes it, in
   * this Kubernetes namespace; a second call does not get them. Empty when no credentials are left, or this is not
   * configured.
   */
  takeCredentials(
    input: { readonly reference: string; readonly namespace: string },
    fx: EffectContext,
  ): Promise<readonly DepositedAuth[]>;
  /**
   * Fetches manifest and config, chooses the platform, verifies every byte. Uses the first of the reference's
   * candidates that a registry has.
   */
  resolve(
    input: { readonly reference: string; readonly auth: PullAuth | undefined },
    fx: EffectContext,
  ): Promise<ResolvedImage>;
  /**
   * Downloads, verifies and unpacks one layer into the store under its diff-id; afterwards it is present
   * whole and durable or not at all. Returns at once when the store has it. `onBytes` counts downloaded
   * bytes. A blob that was cut off by a failure or the daemon's death may be kept until `dropPartials`: the
   * next try requests only the rest, and verifies all of it. Returns the size of the blob that the stored
   * layer was unpacked from, which need not be this manifest's blob.
   */
  fetchLayer(
    input: {
      readonly reference: string;
      readonly repoDigest: string;
      readonly auth: PullAuth | undefined;
      /**
       * Kubernetes namespace of the pull; slow registries are tracked per namespace. Empty or absent for
       * none.
       */
      readonly namespace?: string;
      readonly layer: Layer;
    },
    fx: EffectContext & { onBytes(downloaded: number): void },
  ): Promise<number>;
  /** Deletes partial blobs of unfinished downloads, except those in `keep` and those being downloaded. */
  dropPartials(input: { readonly keep: readonly Digest[] }, fx: EffectContext): Promise<void>;
}

export type { Digest };
