/**
 * Where each fact of an image comes from. The id, a digest, proves layers and config, and sizes are counted from
 * received bytes. All else is a claim of one manifest, and holds only for references that pulled that manifest (S86).
 * Pure.
 */
import { actorLimits } from '../bounds.ts';
import type { ImageConfig, ImageLayer, ImageRecord, ImageSource } from '../../ports/specs.ts';

/** The config as versions without sources wrote it: a claim of the last manifest, applied to all references. */
type EarlierConfig = ImageConfig & { readonly checkpointOf?: string };

/**
 * The record with claims of manifests only in `sources`. `checkpointOf` from an earlier version's config is kept only
 * when the image has a single manifest, which then made the claim.
 */
export function ownFacts(image: ImageRecord): ImageRecord {
  const { checkpointOf, ...config } = image.config as EarlierConfig;
  return {
    ...image,
    config,
    layers: image.layers.map(ownLayer),
    sources: image.sources ?? sourcesOfEarlier(image, checkpointOf),
  };
}

function ownLayer({ diffId, file }: ImageLayer): ImageLayer {
  return { diffId, ...(file === undefined ? {} : { file }) };
}

function sourcesOfEarlier(
  { repoTags, repoDigests }: ImageRecord,
  checkpointOf: string | undefined,
): readonly ImageSource[] {
  const isOnly = repoDigests.length === 1;
  return repoDigests.map((repoDigest) => ({
    repoDigest,
    // where a repository has several digests, it is unknown which one the tag referred to
    repoTags: repoTags.filter(
      (tag) => isOnly || (repoDigests.filter((one) => isOf(tag, one)).length === 1 && isOf(tag, repoDigest)),
    ),
    ...(isOnly && checkpointOf !== undefined ? { checkpointOf } : {}),
  }));
}

/** Whether a tag and a digest belong to the same repository. */
export function isOf(repoTag: string, repoDigest: string): boolean {
  return repoTag.slice(0, repoTag.lastIndexOf(':')) === repoDigest.slice(0, repoDigest.indexOf('@'));
}

/** The image after another pull: its names are added, and each tag refers to the manifest that it pulled last. */
export function mergedImage(old: ImageRecord | undefined, fresh: ImageRecord): ImageRecord {
  if (old === undefined) return fresh;
  const before = withoutTags(old, new Set(fresh.repoTags)).sources ?? [];
  const coming = fresh.sources ?? [];
  const isNew = ({ repoDigest }: ImageSource): boolean =>
    !before.some((source) => source.repoDigest === repoDigest);
  const merged = {
    ...fresh,
    repoTags: union(old.repoTags, fresh.repoTags),
    repoDigests: union(old.repoDigests, fresh.repoDigests),
    pulledAtNs: old.pulledAtNs,
    sources: [...before.map((source) => mergedSource(source, coming)), ...coming.filter(isNew)],
  };
  return boundedNames(merged, fresh);
}

/**
 * At most `actorLimits.imageNames` names, so that ListImages stays small enough to answer. Beyond that it drops the
 * oldest name of the registry that has most names, but none of this pull: a client that pulls an image under ever new
 * names loses its own names and no others.
 */
function bounded(names: readonly string[], kept: readonly string[]): readonly string[] {
  const left = [...names];
  while (left.length > actorLimits.imageNames) {
    const counts = new Map<string, number>();
    for (const name of left) counts.set(hostOf(name), (counts.get(hostOf(name)) ?? 0) + 1);
    const may = left.filter((name) => !kept.includes(name));
    const most = Math.max(...may.map((name) => counts.get(hostOf(name)) ?? 0));
    const gone = may.find((name) => counts.get(hostOf(name)) === most);
    left.splice(left.indexOf(gone ?? ''), 1);
  }
  return left;
}

function boundedNames(image: ImageRecord, fresh: ImageRecord): ImageRecord {
  const { repoDigests, sources = [], repoTags } = image;
  if (repoDigests.length <= actorLimits.imageNames && repoTags.length <= actorLimits.imageNames) return image;
  const [digests, tags] = [
    new Set(bounded(repoDigests, fresh.repoDigests)),
    new Set(bounded(repoTags, fresh.repoTags)),
  ];
  return {
    ...image,
    repoTags: [...tags],
    repoDigests: [...digests],
    sources: sources
      .filter(({ repoDigest }) => digests.has(repoDigest))
      .map((source) => ({ ...source, repoTags: source.repoTags.filter((tag) => tags.has(tag)) })),
  };
}

function hostOf(name: string): string {
  return name.slice(0, name.indexOf('/'));
}

function mergedSource(old: ImageSource, coming: readonly ImageSource[]): ImageSource {
  const again = coming.find(({ repoDigest }) => repoDigest === old.repoDigest);
  return again === undefined ? old : { ...again, repoTags: union(old.repoTags, again.repoTags) };
}

/** The image without these tags, which now refer to another image or manifest. */
export function withoutTags(image: ImageRecord, taken: ReadonlySet<string>): ImageRecord {
  const left = (tags: readonly string[]): readonly string[] => tags.filter((tag) => !taken.has(tag));
  return {
    ...image,
    repoTags: left(image.repoTags),
    sources: (image.sources ?? []).map((source) => ({ ...source, repoTags: left(source.repoTags) })),
  };
}

function union(old: readonly string[], added: readonly string[]): readonly string[] {
  return [...new Set([...old, ...added])];
}
