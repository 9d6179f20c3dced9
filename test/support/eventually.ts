// The one wait for what the outside brings about: a process, a file, a state in a list. What happens within this
// process has events or `turns.ts`.
import { setTimeout as delay } from 'node:timers/promises';
import { EVENT_MS, hangs } from './patience.ts';

const POLL_EVERY_MS = 10;

/** What `poll` gives while it has not come. */
type NotYet = undefined | false;

/** Polls until `poll` gives something, and answers that. Throws with `what` when it has not come after `EVENT_MS`. */
export async function eventually<T>(what: string, poll: () => Promise<T | NotYet> | T | NotYet): Promise<T> {
  const deadlineMs = performance.now() + EVENT_MS;
  for (;;) {
    const found = await poll();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadlineMs) throw new Error(hangs(`the wait for ${what}`, EVENT_MS));
    await delay(POLL_EVERY_MS);
  }
}

/** The same for a condition that says by itself what is waited for. */
export const until = <T>(poll: () => Promise<T | NotYet> | T | NotYet): Promise<T> =>
  eventually(poll.toString(), poll);
