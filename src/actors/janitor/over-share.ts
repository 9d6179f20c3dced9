/** Picks the interrupted pulls to give up when there are too many: those of the party that has most. Pure. */

export interface Shared {
  readonly key: string;
  /** Kubernetes namespace; '' without one. */
  readonly namespace: string;
  /** Host name of the registry. */
  readonly host: string;
}

/**
 * Picks the keys to give up until `most` are left. Each is the oldest one of the registry with most entries in the
 * namespace with most entries, so that a party with few keeps them, however many others have (S90).
 * @param all in order of arrival
 */
export function overShare(all: readonly Shared[], most: number): readonly string[] {
  const over: string[] = [];
  let left = all;
  while (left.length > most) {
    const rest = left;
    const largest = mostOf(rest, ({ namespace }) => namespace);
    const [first] = mostOf(largest, ({ host }) => host);
    if (first === undefined) break;
    over.push(first.key);
    left = rest.filter(({ key }) => key !== first.key);
  }
  return over;
}

/** The largest group, in order of arrival; among equally large groups the one whose first entry came first. */
function mostOf(all: readonly Shared[], groupOf: (one: Shared) => string): readonly Shared[] {
  const groups = Map.groupBy(all, groupOf);
  return [...groups.values()].reduce((best, group) => (group.length > best.length ? group : best), []);
}
