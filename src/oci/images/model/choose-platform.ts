/** Which entry of an index this machine runs (image spec: image-index.md). */
import type { IndexEntry } from './manifest.ts';
import { platformRank } from './platform.ts';
import type { Platform } from './platform.ts';

/**
 * The entry to use, or undefined; those of types that are not read are passed over. Best rank first, at equal rank the earlier one; entries that don't state a platform
 * (a nested index usually) come last, and what they lead to is checked by its config.
 */
export function choosePlatform(entries: readonly IndexEntry[], wanted: Platform): IndexEntry | undefined {
  let best: IndexEntry | undefined;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    if (!entry.isKnown) continue;
    const rank =
      entry.platform === undefined ? Number.MAX_SAFE_INTEGER : platformRank(entry.platform, wanted);
    if (rank !== undefined && rank < bestRank) {
      best = entry;
      bestRank = rank;
    }
  }
  return best;
}
