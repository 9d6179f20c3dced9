/** Which images the kubelet's image collection must leave: `images.pinned`. Pure. */
import { FaultError } from '../../base/fault.ts';
import type { ImageRecord } from '../../ports/specs.ts';

/**
 * A test for images that a pattern names: an exact name or id, a beginning followed by `*`, or a part between two `*`
 * (the three forms that CRI-O's pinned_images has). `candidates` gives the full forms of an exact name, asked once.
 */
export function pinnedBy(
  patterns: readonly string[],
  candidates: (reference: string) => readonly string[],
): (image: ImageRecord) => boolean {
  const tests = patterns.map((pattern) => testOf(pattern, candidates));
  return (image) => {
    const names = [...image.repoTags, ...image.repoDigests, image.id];
    return tests.some((test) => names.some(test));
  };
}

function testOf(
  pattern: string,
  candidates: (reference: string) => readonly string[],
): (name: string) => boolean {
  if (pattern.startsWith('*')) return (name) => name.includes(pattern.slice(1, -1));
  if (pattern.endsWith('*')) return (name) => name.startsWith(pattern.slice(0, -1));
  const forms = fullForms(pattern, candidates);
  const exact = new Set([pattern, ...(forms ?? [])]);
  if (forms !== undefined) return (name) => exact.has(name);
  const ends = [`/${pattern}`, `/${pattern}:latest`];
  return (name) => exact.has(name) || ends.some((end) => name.endsWith(end));
}

/**
 * None for an id, and for a short name that registries.conf gives no meaning. Undefined where that file can't be used: what
 * the name means is not known then, and whatever it may mean must stay (F95).
 */
function fullForms(
  pattern: string,
  candidates: (reference: string) => readonly string[],
): readonly string[] | undefined {
  try {
    return candidates(pattern);
  } catch (thrown) {
    return thrown instanceof FaultError && thrown.fault.kind === 'denied' ? undefined : [];
  }
}
