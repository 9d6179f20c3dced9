// Follows a daemon's log and reports each change of state as one line: time, actor, from → to, on what.
import { setTimeout as delay } from 'node:timers/promises';

/** ms between two reads of the log. */
const LOOK_MS = 20;

export interface Following {
  /** Reports what has been logged up to now. */
  readonly catchUp: () => Promise<void>;
  /** Reports the rest and ends. */
  readonly stop: () => Promise<void>;
}

interface Line {
  readonly msg?: string;
  /** RFC 3339. */
  readonly time?: string;
  readonly actor?: string;
  readonly from?: string;
  readonly to?: string;
  readonly on?: string;
}

/** `read` gives the whole log; each new line of a transition goes to `report`. */
export function followTransitions(read: () => Promise<string>, report: (line: string) => void): Following {
  let seen = 0;
  let first: number | undefined;
  let isOver = false;
  let turn: Promise<void> = Promise.resolve();
  // one read after the other: two at once would report the same lines twice
  const poll = (): Promise<void> => {
    turn = turn.then(pollOnce);
    return turn;
  };
  const pollOnce = async (): Promise<void> => {
    const text = await read();
    const end = text.lastIndexOf('\n') + 1;
    const fresh = text.slice(seen, end).split('\n');
    seen = end;
    for (const line of fresh) {
      const event = parse(line);
      if (event?.msg !== 'state' || event.time === undefined) continue;
      const timeMs = Date.parse(event.time);
      first ??= timeMs;
      report(
        `${String(timeMs - first).padStart(6)} ms  ${short(event.actor ?? '')}  ${event.from === '' ? '(born)' : event.from} → ${event.to}`,
      );
    }
  };
  const loop = (async () => {
    while (!isOver) {
      await poll();
      await delay(LOOK_MS);
    }
  })();
  return {
    catchUp: poll,
    stop: async () => {
      isOver = true;
      await loop;
      await poll();
    },
  };
}

function parse(line: string): Line | undefined {
  try {
    return JSON.parse(line) as Line;
  } catch {
    return undefined;
  }
}

function short(actor: string): string {
  const [kind = '', id = ''] = actor.split('/');
  return `${kind} ${id.slice(0, 8)}`.padEnd(18);
}
