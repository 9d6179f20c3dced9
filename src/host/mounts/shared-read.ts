/** Reads of something that changes, shared by callers. */

/**
 * A function whose callers share a read that begins after their call, never one in progress, which may already be past
 * what they ask for.
 */
export function sharedRead<T>(read: () => Promise<T>): () => Promise<T> {
  /** The read in progress, and the one that starts when it ends. */
  const reads: { running?: Promise<T> | undefined; next?: Promise<T> | undefined } = {};
  const begin = (): Promise<T> => {
    reads.next = undefined;
    const current = read().finally(() => {
      if (reads.running === current) reads.running = undefined;
    });
    reads.running = current;
    return current;
  };
  return () => {
    if (reads.next !== undefined) return reads.next;
    if (reads.running === undefined) return begin();
    const after = reads.running.then(begin, begin);
    reads.next = after;
    return after;
  };
}
