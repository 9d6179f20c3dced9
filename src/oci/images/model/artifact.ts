/**
 * OCI artifacts: manifests whose config is not an image config (image spec: manifest.md, "Guidelines for Artifact
 * Usage"). Each blob is one file. Its name comes from the annotation that ORAS and the peers use, or else from its
 * digest. An artifact cannot run; it can be mounted as an image volume.
 */
import { createHash } from 'node:crypto';
import { fail } from '../../../base/fault.ts';
import { hexOf, parseDigest, type Digest } from '../../../base/ids.ts';
import { imageLimits, unpackLimits } from '../../bounds.ts';
import type { StringMap } from '../../../ports/specs.ts';

/**
 * Annotations that hold a blob's path: ORAS's, then the CNCF model spec's. The first one present counts, as in CRI-O.
 */
const TITLES = ['org.opencontainers.image.title', 'org.cnai.model.filepath'];
const WHITEOUT = '.wh.';

/**
 * The path of a blob's file below the mount: relative, without `.`, `..` and empty parts. Calls `refuse` for a title
 * that is not such a path.
 */
export function pathOfBlob(
  annotations: StringMap,
  digest: Digest,
  refuse: (reason: string) => never,
): string {
  const title = TITLES.map((name) => annotations[name] ?? '').find((text) => text !== '') ?? '';
  if (title === '') return `sha256-${hexOf(digest)}`;
  const parts = title.split('/');
  const isPlain = parts.every(
    (part) =>
      part !== '' && part !== '.' && part !== '..' && Buffer.byteLength(part) <= unpackLimits.nameBytes,
  );
  if (!isPlain || Buffer.byteLength(title) > imageLimits.pathBytes)
    refuse(
      `has the title ${JSON.stringify(title.slice(0, 100))}, which is not a relative path without "." and ".."`,
    );
  // in a layer, a name with this prefix is a whiteout: it would hide another file
  if (parts.some((part) => part.startsWith(WHITEOUT)))
    refuse(`has the title ${JSON.stringify(title.slice(0, 100))}, which is the name of a whiteout`);
  return title;
}

/**
 * The layer store's key for an artifact file, in place of a diff-id: a diff-id would be the digest of a tar with the
 * file and cannot be known before the download. The key depends on path and content. No tar has it as its digest.
 */
export function fileLayerId(path: string, blob: Digest): Digest {
  const text = createHash('sha256').update(`troupe artifact file 1\n${path}\n${blob}\n`).digest('hex');
  return parseDigest(`sha256:${text}`) ?? fail('bug', 'a computed sha256 does not parse as a digest');
}
