/** Work in parallel that must be over before anything is undone. */

/**
 * Waits for all of them, also after one has failed; then returns their values in order, or rejects with the first
 * failure in the list. For work that makes something: with `Promise.all` the undo would run while the rest still makes
 * more.
 */
export async function allSettled<T extends readonly Promise<unknown>[] | []>(
  work: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(work);
  // all have ended, so the first of the list comes first here
  return Promise.all(work);
}
