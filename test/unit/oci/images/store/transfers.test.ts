// Whose turn it is, and what becomes of a turn that a registry does not use.
import { describe, expect, test } from 'vitest';
import { storageLimits } from '../../../../../src/oci/bounds.ts';
import { Transfers } from '../../../../../src/oci/images/store/transfers.ts';
import type { Party, Turn } from '../../../../../src/oci/images/store/transfers.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { turns } from '../../../../support/turns.ts';

const party = (host: string, namespace: string, credential = ''): Party => ({ host, namespace, credential });
const LOOK = storageLimits.transferCheckMs;

function bench(slots: number, slotsPerHost = slots) {
  const clock = new HandClock();
  const transfers = new Transfers({ clock, slots: () => slots, slotsPerHost: () => slotsPerHost });
  const begun: string[] = [];
  const ended: string[] = [];
  const turnOf = new Map<string, Turn>();
  const finish = new Map<string, () => void>();
  /** A transfer that runs until `finish`, or until its turn ends it. */
  const start = (name: string, of: Party, signal = new AbortController().signal): void => {
    const work = async (turn: Turn): Promise<void> => {
      begun.push(name);
      turnOf.set(name, turn);
      await new Promise<void>((resolve, reject) => {
        finish.set(name, resolve);
        turn.signal.addEventListener('abort', () => reject(new Error('ended')), { once: true });
      });
    };
    void transfers.with(of, work, signal).then(
      () => ended.push(name),
      (error: unknown) => ended.push(`${name}: ${error instanceof Error ? error.message : ''}`),
    );
  };
  const done = async (name: string): Promise<void> => {
    finish.get(name)?.();
    await turns();
  };
  return { clock, begun, ended, turnOf, start, done };
}

describe('turns of transfers', () => {
  test('S90 the next turn goes to the namespace with least under way, then the registry, then the credentials', async () => {
    const { begun, start, done } = bench(2);
    for (const name of ['a1', 'a2', 'a3', 'a4']) start(name, party('busy', 'a', 'x'));
    start('b1', party('busy', 'b', 'x'));
    start('a5', party('other', 'a', 'x'));
    start('a6', party('busy', 'a', 'y'));
    await turns();
    expect(begun).toEqual(['a1', 'a2']);
    await done('a1');
    expect(begun.at(-1)).toBe('b1');
    await done('b1');
    expect(begun.at(-1)).toBe('a5');
    await done('a5');
    expect(begun.at(-1)).toBe('a6');
  });

  test('a registry has its own bound, and an abort in the queue frees the place', async () => {
    const { begun, ended, start, done } = bench(3, 2);
    const leaver = new AbortController();
    for (const name of ['s1', 's2']) start(name, party('slow', ''));
    start('s3', party('slow', ''), leaver.signal);
    start('s4', party('slow', ''));
    start('o1', party('other', ''));
    await turns();
    expect(begun).toEqual(['s1', 's2', 'o1']);
    leaver.abort(new Error('gone'));
    await turns();
    expect(ended).toEqual(['s3: gone']);
    await done('s2');
    expect(begun.at(-1)).toBe('s4');
  });

  test('S90 a trickling transfer gives its turn to others, and goes on beside them', async () => {
    const { clock, begun, ended, turnOf, start, done } = bench(2);
    for (const name of ['t1', 't2']) start(name, party('evil', 'tenant'));
    start('victim', party('good', 'other'));
    await turns();
    // 4 KiB a minute
    for (const name of ['t1', 't2']) turnOf.get(name)?.received(400);
    await clock.advance(LOOK);
    expect([begun, ended]).toEqual([['t1', 't2', 'victim'], []]);
    await done('victim');
    await done('t1');
    expect(ended).toEqual(['victim', 't1']);
  });

  test('S90 on a slow line a registry gets no more concurrent transfers than its bound', async () => {
    const { clock, begun, turnOf, start, done } = bench(6, 4);
    for (let at = 0; at < 12; at += 1) start(`l${at}`, party('honest', ''));
    await turns();
    for (let at = 1; at <= 3; at += 1) {
      // a megabit a second for all of them
      for (const turn of turnOf.values()) turn.received((31_250 * LOOK) / 1000);
      await clock.advance(LOOK);
    }
    expect(begun).toEqual(['l0', 'l1', 'l2', 'l3']);
    await done('l0');
    expect(begun.at(-1)).toBe('l4');
  });

  test('S90 trickling transfers of one namespace leave turns of the same registry to another, as with a cache in front of many registries', async () => {
    const { clock, begun, start } = bench(6, 4);
    for (let at = 0; at < 8; at += 1) start(`t${at}`, party('cache', 'tenant'));
    start('victim', party('cache', 'other'));
    await clock.advance(2 * LOOK);
    expect(begun).toEqual(['t0', 't1', 't2', 't3', 'victim']);
  });

  test('S90 one namespace that is just fast enough, at two registries, leaves a turn to another', async () => {
    const { begun, start, done } = bench(6, 4);
    for (const at of [0, 1, 2, 3]) start(`a${at}`, party('one', 'tenant'));
    for (const at of [4, 5, 6]) start(`a${at}`, party('two', 'tenant'));
    await turns();
    // all turns while nobody else waits, and no more of them
    expect(begun).toEqual(['a0', 'a1', 'a2', 'a3', 'a4', 'a5']);
    start('victim', party('one', 'other'));
    start('victim 2', party('three', 'other'));
    await turns();
    expect(begun.slice(6)).toEqual(['victim']);
    await done('a4');
    expect(begun.slice(7)).toEqual([]);
    await done('victim');
    expect(begun.slice(7)).toEqual(['victim 2']);
    await done('a5');
    expect(begun.at(-1)).toBe('a6');
  });

  test('S90 a transfer above the minimum rate keeps its turn, and so does one that waits for our disk', async () => {
    const { clock, begun, turnOf, start } = bench(2);
    start('fast', party('good', ''));
    start('writing', party('good', ''));
    start('next', party('other', ''));
    await turns();
    turnOf.get('fast')?.received((storageLimits.transferBytesPerSecond * LOOK) / 1000);
    void turnOf.get('writing')?.local(() => new Promise(() => undefined));
    await clock.advance(LOOK);
    expect(begun).toEqual(['fast', 'writing']);
    // the span starts again at each scan
    await clock.advance(LOOK);
    expect(begun).toEqual(['fast', 'writing', 'next']);
  });

  test('S90 of too many trickling transfers the namespace with the most loses one, when another waits', async () => {
    const { clock, begun, ended, start } = bench(1);
    const many = storageLimits.slowTransfers + 1;
    for (let at = 0; at < many; at += 1) {
      start(`t${at}`, party(`evil-${at}`, 'tenant'));
      await turns();
      if (at < many - 1) start(`t${at}+`, party(`evil-${at}`, 'tenant'));
      await clock.advance(LOOK);
    }
    const own = begun.length;
    await clock.advance(3 * LOOK);
    expect([begun.length, ended]).toEqual([own, []]);
    start('victim', party('good', 'other'));
    await clock.advance(LOOK);
    expect(ended).toHaveLength(1);
    expect(ended[0]).toMatch(
      /^t0.*: evil-0: slower than 65536 bytes per second while transfers of others wait$/u,
    );
    await clock.advance(LOOK);
    expect(begun).toContain('victim');
  });

  test('S90 a transfer that is fast again holds a turn as before, so that a slow beginning gives nobody more turns', async () => {
    const { clock, begun, turnOf, start, done } = bench(1);
    start('begins slowly', party('evil', 'tenant'));
    start('victim', party('good', 'other'));
    start('next', party('good', 'third'));
    await clock.advance(LOOK);
    expect(begun).toEqual(['begins slowly', 'victim']);
    const fast = (storageLimits.transferBytesPerSecond * LOOK) / 1000;
    for (const turn of turnOf.values()) turn.received(fast);
    await clock.advance(LOOK);
    await done('victim');
    expect(begun).not.toContain('next');
    await done('begins slowly');
    expect(begun.at(-1)).toBe('next');
  });

  test('S90 of too many slow transfers one that is fast again is not ended', async () => {
    const { clock, ended, turnOf, start } = bench(1);
    for (let at = 0; at <= storageLimits.slowTransfers; at += 1) {
      start(`t${at}`, party(`far-${at}`, 'tenant'));
      start(`t${at}+`, party(`far-${at}`, 'tenant'));
      await clock.advance(LOOK);
    }
    start('victim', party('good', 'other'));
    // all that were slow are fast again, and the last one, which holds the turn, is slow
    const all = [...turnOf];
    for (const [, turn] of all.slice(0, -1))
      turn.received((storageLimits.transferBytesPerSecond * LOOK) / 1000);
    await clock.advance(LOOK);
    expect(ended).toEqual([]);
  });

  test('no transfer is checked while nobody waits', async () => {
    const { clock, start } = bench(1);
    start('one', party('slow', ''));
    await turns();
    expect(clock.timers.size).toBe(0);
    await clock.advance(100 * LOOK);
    start('two', party('good', ''));
    await turns();
    expect(clock.timers.size).toBe(1);
  });
});
