/** Which image a name means: pure questions to the ledger's images. */
import { parseImageId } from '../../base/ids.ts';
import type { ImageRecord, ImageSource } from '../../ports/specs.ts';

/** What names are looked up by. */
type Names = Pick<ImageRecord, 'id' | 'repoTags' | 'repoDigests'>;
type Candidates = (reference: string) => readonly string[];

/** Shortest id prefix that is looked up; shorter ones would shadow names (containers tools use 3 too, we are stricter). */
const PREFIX_DIGITS = 5;

/**
 * The image by id (`sha256:<hex>`, `<hex>` or a unique prefix of it), by tag or by digest. `candidates` gives the
 * full forms of a reference, as a pull tries them, and may throw for text that is none; then only ids are tried.
 */
export function findImage<I extends Names>(
  images: Iterable<I>,
  name: string,
  candidates: Candidates,
): I | undefined {
  const all = [...images];
  const byId = imageById(all, name);
  if (byId !== undefined) return byId;
  for (const reference of candidatesOf(name, candidates)) {
    const named = all.find((image) => image.repoTags.includes(reference) || hasDigest(image, reference));
    if (named !== undefined) return named;
  }
  return undefined;
}

/**
 * The manifest that a reference means among those that brought the image. Undefined for an id, which is of all of them,
 * and for a reference that brought none of them.
 */
export function sourceNamed(
  { sources = [] }: Pick<ImageRecord, 'sources'>,
  name: string,
  candidates: Candidates,
): ImageSource | undefined {
  if (isIdText(name)) return undefined;
  for (const reference of candidatesOf(name, candidates)) {
    const named = sources.find(
      ({ repoTags, repoDigest }) =>
        repoTags.includes(reference) || hasDigest({ repoDigests: [repoDigest] }, reference),
    );
    if (named !== undefined) return named;
  }
  return undefined;
}

/** Whether the text is a whole id, with or without its algorithm. */
export function isIdText(name: string): boolean {
  return parseImageId(name) !== undefined || parseImageId(`sha256:${name}`) !== undefined;
}

function imageById<I extends Names>(images: readonly I[], name: string): I | undefined {
  const whole = parseImageId(name) ?? parseImageId(`sha256:${name}`);
  if (whole !== undefined) return images.find((image) => image.id === whole);
  const hex = name.startsWith('sha256:') ? name.slice('sha256:'.length) : name;
  if (hex.length < PREFIX_DIGITS || !/^[0-9a-f]+$/u.test(hex)) return undefined;
  const matches = images.filter((image) => image.id.startsWith(`sha256:${hex}`));
  return matches.length === 1 ? matches[0] : undefined;
}

/** `repo:tag@digest` means the digest (the tag is a comment); the repository must be the same. */
function hasDigest(image: Pick<Names, 'repoDigests'>, reference: string): boolean {
  const at = reference.indexOf('@');
  if (at < 0) return false;
  const digest = reference.slice(at);
  const repository = reference.slice(0, at).replace(/:[^/:]+$/u, '');
  return image.repoDigests.includes(`${repository}${digest}`);
}

function candidatesOf(name: string, candidates: Candidates): readonly string[] {
  try {
    return candidates(name);
  } catch {
    return [];
  }
}
