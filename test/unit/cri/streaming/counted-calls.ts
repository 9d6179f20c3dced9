// Counts the calls of a method, which shows what each piece of a stream costs.
import { loopTurn } from '../../../support/turns.ts';

/** Turns of the event loop in which what was brought to a stream has been read. */
const READ_TURNS = 10;

interface Count {
  readonly calls: () => number;
  /** Puts the method back. */
  readonly end: () => void;
}

function counting<T extends object>(prototype: T, method: keyof T & string): Count {
  const original: unknown = Reflect.get(prototype, method);
  if (typeof original !== 'function') throw new Error(`no method ${method}`);
  let calls = 0;
  Reflect.set(prototype, method, function count(this: unknown, ...values: unknown[]): unknown {
    calls += 1;
    return Reflect.apply(original, this, values);
  });
  return { calls: () => calls, end: () => void Reflect.set(prototype, method, original) };
}

/** Calls of `method` while `run` runs. */
export function callsOf<T extends object>(prototype: T, method: keyof T & string, run: () => void): number {
  const count = counting(prototype, method);
  try {
    run();
  } finally {
    count.end();
  }
  return count.calls();
}

/** Calls of `method` until what `bring` brought has been read. */
export async function callsWhileRead<T extends object>(
  prototype: T,
  method: keyof T & string,
  bring: () => void,
): Promise<number> {
  const count = counting(prototype, method);
  try {
    bring();
    for (let turn = 0; turn < READ_TURNS; turn += 1) await loopTurn();
  } finally {
    count.end();
  }
  return count.calls();
}
