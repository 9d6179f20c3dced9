/** Which images the kubelet's garbage collection must keep: `images.pinned`. Pure. */
import { FaultError } from '../../base/fault.ts';
import type { ImageRecord } from '../../ports/specs.ts';

/**
 * A test whether an image matches a pattern. A pattern is an exact name or id, a prefix followed by `*`, or a substring
 * between two `*`: the three forms of CRI-O's pinned_images. `candidates` gives the full forms of an exact name; it is
 * called once for each pattern.
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
 * The full forms of a name; empty for an id, and for a short name that registries.conf does not define. Undefined where
 * that file is unusable: the meaning is unknown, and every image that the name could refer to must be kept (F95).
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
