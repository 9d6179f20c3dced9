/** Work in parallel that must be over before anything is undone. */

/**
 * Waits for all of them, also after one has failed, and then rejects with the first failure in the list. For work that
 * makes something: with `Promise.all` the undo would run while the rest still makes more.
 */
export async function allSettled(work: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === 'rejected') throw result.reason;
}
