/**
 * Whose word each fact of an image is. Layers and config follow from the id, and sizes are of bytes that were received;
 * what a manifest adds stays with the references that brought it (S86). Pure.
 */
import { actorLimits } from '../bounds.ts';
import type { ImageConfig, ImageLayer, ImageRecord, ImageSource } from '../../ports/specs.ts';

/** As versions before the sources wrote it: the last manifest's word stood in the config, for all references. */
type EarlierConfig = ImageConfig & { readonly checkpointOf?: string };

/**
 * The record without a manifest's word outside of its sources. An earlier version's annotation is believed where one
 * manifest alone can have said it.
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
    // of a repository with several digests nobody knows which one the tag meant
    repoTags: repoTags.filter(
      (tag) => isOnly || (repoDigests.filter((one) => isOf(tag, one)).length === 1 && isOf(tag, repoDigest)),
    ),
    ...(isOnly && checkpointOf !== undefined ? { checkpointOf } : {}),
  }));
}

/** Whether a tag and a digest are of one repository. */
export function isOf(repoTag: string, repoDigest: string): boolean {
  return repoTag.slice(0, repoTag.lastIndexOf(':')) === repoDigest.slice(0, repoDigest.indexOf('@'));
}

/** The image after a further pull: names are added, and a tag means the manifest that it brought last. */
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
 * At most `actorLimits.imageNames`: lists that hold all images must stay an answer. Of too many names the oldest of the registry
 * with most of them goes, never one of this pull: who pulls an image under ever new names loses those, and nobody else's.
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

/** The image without these tags, which mean another one now. */
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
