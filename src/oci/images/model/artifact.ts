/**
 * OCI artifacts: manifests whose config is no image's (image spec: manifest.md, "Guidelines for Artifact Usage"). Each
 * blob is one file, named by the annotation that ORAS and the peers use, else by its digest. Such a thing can't run, it
 * is mounted as an image volume.
 */
import { createHash } from 'node:crypto';
import { fail } from '../../../base/fault.ts';
import { hexOf, parseDigest, type Digest } from '../../../base/ids.ts';
import { imageLimits, unpackLimits } from '../../bounds.ts';
import type { StringMap } from '../../../ports/specs.ts';

/** By which a blob says its path: ORAS's, and that of CNCF's model spec; the first that is there counts, as with CRI-O. */
const TITLES = ['org.opencontainers.image.title', 'org.cnai.model.filepath'];
const WHITEOUT = '.wh.';

/** The path of a blob's file below the mount: plain, relative. Refuses a title that leads elsewhere, with `refuse`. */
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
    refuse(`has the title ${JSON.stringify(title.slice(0, 100))}, which is no plain relative path`);
  // a layer can't hold such a name: it would hide another
  if (parts.some((part) => part.startsWith(WHITEOUT)))
    refuse(`has the title ${JSON.stringify(title.slice(0, 100))}, which layers give another meaning`);
  return title;
}

/**
 * What stands in the place of a diff-id, the layer store's key: the digest of the tar that would hold the file is not
 * known before the file is. Bound to path and content alike, and no tar has it.
 */
export function fileLayerId(path: string, blob: Digest): Digest {
  const text = createHash('sha256').update(`troupe artifact file 1\n${path}\n${blob}\n`).digest('hex');
  return parseDigest(`sha256:${text}`) ?? fail('bug', 'a sha256 that is no digest');
}
