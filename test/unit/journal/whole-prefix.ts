/** Twelve records, and the check that a later boot finds a prefix of them. */
import { expect } from 'vitest';
import { randomStream } from '../../sim/random.ts';
import { prefixTexts, records, Rig, textOf } from './support.ts';
import { loopTurn } from '../../support/turns.ts';

export const all = records(12);
export const texts = prefixTexts(all);

/** Appends one after the other until the daemon dies; how many were said to be durable. */
export async function appendAll(rig: Rig, from = 0): Promise<number> {
  const opened = await alive(rig, rig.open());
  if (opened === undefined) return 0;
  let durable = from;
  for (const record of all.slice(from)) {
    const said = await alive(
      rig,
      opened.journal.append([record], { sync: true }).then(() => true),
    );
    if (said === undefined) break;
    durable += 1;
  }
  return durable;
}

/** The promise's value, or undefined once the daemon has died. */
export async function alive<T>(rig: Rig, promise: Promise<T>): Promise<T | undefined> {
  const deadAfterDrain = async (): Promise<undefined> => {
    while (!rig.dead) await loopTurn();
    return undefined;
  };
  const value = promise.finally(() => undefined);
  const first = await Promise.race([value, deadAfterDrain()]);
  return first;
}

/** Lets the journal go on until it pauses; a microtask at a time, since the disk answers at once. */
export async function untilPause(rig: Rig): Promise<void> {
  for (let hops = 0; rig.pauses === 0 && hops < 10_000; hops += 1) await Promise.resolve();
  expect(rig.pauses).toBe(1);
}

/** The next instance finds the state after `count` records, whatever a power loss keeps. */
export async function expectPrefix(rig: Rig, count: number): Promise<void> {
  for (let draw = 0; draw < 20; draw += 1) {
    const copy = rig.model.clone();
    copy.losePower(randomStream(draw, 'power'));
    expect(textOf((await new Rig(copy).open()).state)).toBe(texts[count]);
  }
  expect(textOf((await rig.next().open()).state)).toBe(texts[count]);
}
