/** Branded ids: a value of these types was parsed once, at the edge, so its form is known everywhere else. */

declare const brand: unique symbol;
type Branded<T, B extends string> = T & { readonly [brand]: B };

/** 64 lower-case hex digits. */
export type SandboxId = Branded<string, 'SandboxId'>;
/** 64 lower-case hex digits. */
export type ContainerId = Branded<string, 'ContainerId'>;
export type SandboxOrContainerId = SandboxId | ContainerId;
/** `sha256:` and 64 lower-case hex digits (OCI image spec, descriptor digests; only sha256 is accepted). */
export type Digest = Branded<string, 'Digest'>;
/** The digest of an image's config blob, which is the image's id in every answer (`PullImageResponse.image_ref`). */
export type ImageId = Branded<string, 'ImageId'>;

const HEX64 = /^[0-9a-f]{64}$/u;
const DIGEST = /^sha256:[0-9a-f]{64}$/u;

/** The id, or undefined when the text is not 64 lower-case hex digits. */
export function parseSandboxId(text: string): SandboxId | undefined {
  return HEX64.test(text) ? (text as SandboxId) : undefined;
}

/** The id, or undefined when the text is not 64 lower-case hex digits. */
export function parseContainerId(text: string): ContainerId | undefined {
  return HEX64.test(text) ? (text as ContainerId) : undefined;
}

/** The digest, or undefined when the text is not `sha256:` and 64 lower-case hex digits. */
export function parseDigest(text: string): Digest | undefined {
  return DIGEST.test(text) ? (text as Digest) : undefined;
}

/** The image id, or undefined; the same form as a digest. */
export function parseImageId(text: string): ImageId | undefined {
  return DIGEST.test(text) ? (text as ImageId) : undefined;
}

/** The 64 hex digits of a digest or image id, for file names. */
export function hexOf(digest: Digest | ImageId): string {
  return digest.slice('sha256:'.length);
}
