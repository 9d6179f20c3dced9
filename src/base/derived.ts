/**
 * A value made from another one: made at the first call, and again when that is another object. A configuration that is
 * reloaded has new objects only where something has changed.
 */
export function derived<V, R>(read: () => V, make: (value: V) => R): () => R {
  let kept: { readonly from: V; readonly made: R } | undefined;
  return () => {
    const from = read();
    if (kept?.from !== from) kept = { from, made: make(from) };
    return kept.made;
  };
}
