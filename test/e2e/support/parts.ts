// The parts of a long run: each is run, noted and printed; and their helpers for waiting and comparing.
import { setTimeout as delay } from 'node:timers/promises';

export type State = 'passed' | 'failed' | 'skipped';

export interface Row {
  readonly title: string;
  readonly state: State;
  readonly seconds: number;
  /** Reason of a failure or a skip, or a figure. */
  readonly note: string;
}

/** A part that this machine or this version of the runtime can't play. */
export class Skipped extends Error {}

const LOOK_AGAIN_MS = 200;

/** Plays one part and notes how it went; `play` answers what there is to say beside "passed". */
export async function playPart(
  rows: Row[],
  title: string,
  play: () => Promise<string | undefined>,
): Promise<void> {
  const startedAt = performance.now();
  const note = (state: State, text: string): void => {
    const seconds = (performance.now() - startedAt) / 1000;
    rows.push({ title, seconds, state, note: text });
    console.log(`${state}: ${title} (${seconds.toFixed(1)} s)${text === '' ? '' : `: ${text}`}`);
  };
  try {
    note('passed', (await play()) ?? '');
  } catch (error) {
    note(error instanceof Skipped ? 'skipped' : 'failed', messageOf(error));
  }
}

export interface Wait {
  readonly what: string;
  readonly withinMs: number;
  /** More for the message, asked for when it is over. */
  readonly about?: () => Promise<string>;
}

/** Waits until `poll` answers something; an error counts as nothing, and the last one is in the message. */
export async function untilFound<T>(
  { what, withinMs, about }: Wait,
  poll: () => Promise<T | undefined | false | 0>,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    let reason = '';
    try {
      const found = await poll();
      if (found !== undefined && found !== false && found !== 0) return found;
    } catch (error) {
      reason = `; ${messageOf(error)}`;
    }
    if (performance.now() > deadline)
      throw new Error(
        `not within ${withinMs / 1000} s: ${what}${reason}${about === undefined ? '' : `; ${await about()}`}`,
      );
    await delay(LOOK_AGAIN_MS);
  }
}

/** Fails with both values. */
export function same(what: string, actual: unknown, wanted: unknown): void {
  if (actual !== wanted) throw new Error(`${what}: ${String(actual)}, expected ${String(wanted)}`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
