/** Finds the image that a name refers to. Pure. */
import { parseImageId } from '../../base/ids.ts';
import type { ImageId } from '../../base/ids.ts';
import type { ImageRecord, ImageSource } from '../../ports/specs.ts';

/** The fields of an image by which it is found. */
type Names = Pick<ImageRecord, 'id' | 'repoTags' | 'repoDigests'>;
type Candidates = (reference: string) => readonly string[];

/**
 * Digits of the shortest id prefix that is accepted. Shorter prefixes would hide short image names; the containers
 * tools accept 3 digits.
 */
const PREFIX_DIGITS = 5;

/** What a name refers to; `many` for a prefix of several ids. */
export type FoundImage<I> =
  | { readonly found: 'one'; readonly image: I }
  | { readonly found: 'none' | 'many' };

/**
 * The image by id (`sha256:<hex>` or `<hex>`), by tag or by digest, and else by a unique prefix of its id: who makes an
 * image can choose the first digits of its id, and must not take a name such as `facade` from another one (S30).
 * `candidates` gives the full forms of a reference, as a pull tries them. It may throw for text that is not a
 * reference; then only ids are tried.
 */
export function lookUpImage<I extends Names>(
  images: Iterable<I>,
  name: string,
  candidates: Candidates,
): FoundImage<I> {
  const all = [...images];
  const whole = wholeId(name);
  if (whole !== undefined) return onlyOne(all.filter((image) => image.id === whole));
  for (const reference of candidatesOf(name, candidates)) {
    const named = all.find((image) => image.repoTags.includes(reference) || hasDigest(image, reference));
    if (named !== undefined) return { found: 'one', image: named };
  }
  return onlyOne(withPrefix(all, name));
}

/** As `lookUpImage`. Undefined also for a prefix of several ids. */
export function findImage<I extends Names>(
  images: Iterable<I>,
  name: string,
  candidates: Candidates,
): I | undefined {
  const found = lookUpImage(images, name, candidates);
  return found.found === 'one' ? found.image : undefined;
}

/**
 * The manifest through which this reference pulled the image. Undefined for an id, which belongs to all its manifests,
 * and for a reference under which the image was not pulled.
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

/** Whether the text is a complete image id, with or without its algorithm. */
export function isIdText(name: string): boolean {
  return wholeId(name) !== undefined;
}

function wholeId(name: string): ImageId | undefined {
  return parseImageId(name) ?? parseImageId(`sha256:${name}`);
}

function withPrefix<I extends Names>(images: readonly I[], name: string): readonly I[] {
  const hex = name.startsWith('sha256:') ? name.slice('sha256:'.length) : name;
  if (hex.length < PREFIX_DIGITS || !/^[0-9a-f]+$/u.test(hex)) return [];
  return images.filter((image) => image.id.startsWith(`sha256:${hex}`));
}

function onlyOne<I>(images: readonly I[]): FoundImage<I> {
  const [first] = images;
  if (first === undefined) return { found: 'none' };
  return images.length === 1 ? { found: 'one', image: first } : { found: 'many' };
}

/** Whether a reference names the image by repository and digest. In `repo:tag@digest` the tag is ignored. */
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
