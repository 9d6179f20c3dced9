/** Longest chain of promises that a test waits for with `turns`. */
const LONGEST_CHAIN = 50;

/** Runs what waits on promises that are settled, and what waits on that. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < LONGEST_CHAIN; turn += 1) await Promise.resolve();
}

/** One turn of the event loop: what sockets, pipes and finished threads report is heard. */
export const loopTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** A promise that never settles. */
export const never = (): Promise<never> => new Promise(() => undefined);

/** Turns of the event loop until the condition holds; the test's own limit ends the wait for one that never does. */
export async function untilTrue(condition: () => boolean): Promise<void> {
  while (!condition()) await loopTurn();
}
