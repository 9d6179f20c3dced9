// What a daemon holds before and after a load, and when that is calm.
import { setTimeout as delay } from 'node:timers/promises';
import { EVENT_MS } from '../../support/patience.ts';

export interface Held {
  /** Processes of the daemon or its container, as the load counts them. */
  readonly processes: number;
  /** Open descriptors of the daemon. */
  readonly descriptors: number;
  /** MiB of the daemon's own memory. */
  readonly ownMib: number;
}

/** ms between two reads. */
const LOOK_MS = 100;

/** What is held once it has not changed for that many ms, memory apart: the baseline. */
export const calmHeld = (read: () => Promise<Held>, calmMs: number): Promise<Held> =>
  heldWhen(read, (_now, calmFor) => calmFor >= calmMs);

/** What is held once it is as little as before (memory: `growthMib` more), or when the wait is over. */
export const heldAsBefore = (read: () => Promise<Held>, before: Held, growthMib: number): Promise<Held> =>
  heldWhen(
    read,
    (now) =>
      now.processes <= before.processes &&
      now.descriptors <= before.descriptors &&
      now.ownMib <= before.ownMib + growthMib,
  );

async function heldWhen(
  read: () => Promise<Held>,
  isEnough: (now: Held, calmMs: number) => boolean,
): Promise<Held> {
  let last = await read();
  let calm = 0;
  for (let waited = 0; waited < EVENT_MS && !isEnough(last, calm * LOOK_MS); waited += LOOK_MS) {
    await delay(LOOK_MS);
    const now = await read();
    calm = now.processes === last.processes && now.descriptors === last.descriptors ? calm + 1 : 0;
    last = now;
  }
  return last;
}
