/** Which of many are given up where there is no room for all: those of whoever has most. Pure. */

export interface Shared {
  readonly key: string;
  /** Kubernetes namespace; '' for none. */
  readonly namespace: string;
  /** Registry. */
  readonly host: string;
}

/**
 * Keys of those that are over `most`. Each is the oldest of the registry that has most in the namespace that has most, so
 * that whoever has few keeps them, however many others have (S90). `all` is in the order of coming.
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

/** The largest group, in their order; of equal ones that whose first has come first. */
function mostOf(all: readonly Shared[], groupOf: (one: Shared) => string): readonly Shared[] {
  const groups = Map.groupBy(all, groupOf);
  return [...groups.values()].reduce((best, group) => (group.length > best.length ? group : best), []);
}
