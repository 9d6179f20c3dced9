/** Selects the entry of an index that fits this machine (image spec: image-index.md). */
import type { IndexEntry } from './manifest.ts';
import { platformRank } from './platform.ts';
import type { Platform } from './platform.ts';

/**
 * The entry to use, or undefined when none fits. The best rank wins, then the earlier entry. Entries without a
 * platform, usually nested indexes, rank last; the config they lead to is checked later.
 */
export function choosePlatform(entries: readonly IndexEntry[], wanted: Platform): IndexEntry | undefined {
  let best: IndexEntry | undefined;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    const rank =
      entry.platform === undefined ? Number.MAX_SAFE_INTEGER : platformRank(entry.platform, wanted);
    if (rank !== undefined && rank < bestRank) {
      best = entry;
      bestRank = rank;
    }
  }
  return best;
}
