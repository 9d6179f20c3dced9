// Which of ADD, DEL and GC runs beside which, at every moment at which the next one can arrive.
import { describe, expect, it } from 'vitest';
import { GcGate } from '../../../src/network/gc-gate.ts';
import { faultOf } from '../../support/fault-of.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { turns } from '../../support/turns.ts';

function world() {
  const gate = new GcGate(new HandClock());
  /** What runs, in the order of its begin. */
  const running: string[] = [];
  const seen: string[] = [];
  const work = (name: string) => {
    const held = Promise.withResolvers<void>();
    const run = async (): Promise<void> => {
      running.push(name);
      seen.push(running.join('+'));
      await held.promise;
      running.splice(running.indexOf(name), 1);
    };
    return { run, release: held.resolve };
  };
  return { gate, work, seen, gc: (run: () => Promise<void>) => gate.alone('GC', undefined, run) };
}

describe('GC, ADD and DEL', () => {
  it('an ADD waits for the GC that runs, and goes before the next plugin', async () => {
    const { gate, work, seen, gc } = world();
    const [first, second, add] = [work('GC'), work('GC2'), work('ADD')];
    const chain = gc(first.run).then(() => gc(second.run));
    const adding = gate.pass('ADD', undefined, add.run);
    await turns();
    expect(seen).toEqual(['GC']);
    first.release();
    await turns();
    expect(seen).toEqual(['GC', 'ADD']);
    add.release();
    await adding;
    await turns();
    expect(seen).toEqual(['GC', 'ADD', 'GC2']);
    second.release();
    await chain;
  });

  it('an ADD or DEL whose caller has gone while it waited for GC is not begun, and GC goes on', async () => {
    const { gate, work, seen, gc } = world();
    const [first, second, add] = [work('GC'), work('GC2'), work('ADD')];
    const abort = new AbortController();
    const collecting = gc(first.run);
    const adding = faultOf(gate.pass('CNI ADD of sandbox a', abort.signal, add.run));
    await turns();
    abort.abort();
    first.release();
    expect(await adding).toMatchObject({ kind: 'cancelled', message: 'CNI ADD of sandbox a: cancelled' });
    await collecting;
    second.release();
    await gc(second.run);
    expect(seen).toEqual(['GC', 'GC2']);
  });

  it('a GC that fails lets the ADD go on', async () => {
    const { gate, work, seen } = world();
    const collecting = gate.alone('GC', undefined, () => Promise.reject(new Error('exit code 1')));
    const add = work('ADD');
    add.release();
    const adding = gate.pass('ADD', undefined, add.run);
    await expect(collecting).rejects.toThrow('exit code 1');
    await adding;
    expect(seen).toEqual(['ADD']);
  });

  // an ADD that begins some microtasks after the end of another meets GC at each of its steps
  it.each(Array.from({ length: 12 }, (_none, hops) => hops))(
    'GC never runs beside an ADD that arrives %i microtasks after the last one ended',
    async (hops) => {
      const { gate, work, seen, gc } = world();
      const [one, two, collect] = [work('ADD'), work('ADD2'), work('GC')];
      collect.release();
      const first = gate.pass('ADD', undefined, one.run);
      const collecting = gc(collect.run);
      await turns();
      one.release();
      for (let hop = 0; hop < hops; hop += 1) await Promise.resolve();
      const second = gate.pass('ADD', undefined, two.run);
      await turns();
      two.release();
      await Promise.all([first, second, collecting]);
      expect(seen.filter((names) => names.includes('GC') && names !== 'GC')).toEqual([]);
    },
  );
});
