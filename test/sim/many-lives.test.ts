/**
 * What a daemon keeps of pods that are gone (I17): nothing. In one process and virtual time, so that it can be counted.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { Race } from './race.ts';

const WARM_UP = 50;
/** A thousand take four times as long and have found no more. */
const CYCLES = 250;
/**
 * Of the heap, as the row says. The harness itself keeps some 3 KiB of each boot: what clients were answered, what the
 * machine did.
 */
const GROWTH = 0.1;

// held before anything is trapped
const turn = globalThis.setImmediate;

/** Everything that nobody holds is gone. */
async function collected(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let times = 0; times < 3; times += 1) {
    // a WeakRef that was read is held until the end of the turn
    await new Promise<void>((resolve) => void turn(resolve));
    collect();
  }
  return process.memoryUsage().heapUsed;
}

it(`I17 after ${CYCLES} cycles of pods the numbers of actors and timers are unchanged, and the heap within 10 %`, async () => {
  const actors: WeakRef<object>[] = [];
  const race = new Race(1, (event) => {
    if (event.type === '@xstate.actor') actors.push(new WeakRef(event.actorRef));
  });
  await race.begin();
  let lives = 0;
  const life = async (): Promise<void> => {
    lives += 1;
    const sandboxId = await race.alone(() => race.run(`pod-${lives}`));
    const id = await race.alone(() => race.create(sandboxId, 'main'));
    await race.alone(() => race.client.start(id));
    await race.alone(() => race.client.update(id, BigInt(lives + 1)));
    await race.alone(() => race.client.exec(id));
    await race.alone(() => race.client.stop(id, 100));
    await race.alone(() => race.client.removeSandbox(sandboxId));
  };
  const held = async () => {
    const heap = await collected();
    return {
      heap,
      actors: actors.filter((one) => one.deref() !== undefined).length,
      timers: race.world.scheduler.timers,
    };
  };
  for (let count = 0; count < WARM_UP; count += 1) await life();
  const before = await held();
  for (let count = 0; count < CYCLES; count += 1) await life();
  const after = await held();
  expect(actors.length).toBeGreaterThan(CYCLES * 2);
  expect([after.actors, after.timers]).toEqual([before.actors, before.timers]);
  expect(after.heap).toBeLessThan(before.heap * (1 + GROWTH));
  await race.end();
});
