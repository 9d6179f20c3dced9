import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { KeyedMutex, KeyedSemaphore, Ring, Semaphore } from '../../../src/base/bounded.ts';
import { turns } from '../../support/turns.ts';

/** Work that ends on request. */
function held() {
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { work: () => ended, end };
}

describe('Semaphore', () => {
  it('admits as many as it has slots, the others in order of arrival', async () => {
    const semaphore = new Semaphore('things', 2, 10);
    const begun: number[] = [];
    const all = [0, 1, 2, 3].map(() => held());
    const done = all.map(({ work }, at) =>
      semaphore.with(() => {
        begun.push(at);
        return work();
      }),
    );
    await turns();
    expect(begun).toEqual([0, 1]);
    all[1]?.end();
    await turns();
    expect(begun).toEqual([0, 1, 2]);
    for (const { end } of all) end();
    await Promise.all(done);
    expect(begun).toEqual([0, 1, 2, 3]);
  });

  it('refuses by name a caller that finds the queue full', async () => {
    const semaphore = new Semaphore('pulls', 1, 1);
    const first = held();
    const one = semaphore.with(first.work);
    const two = semaphore.with(() => Promise.resolve('two'));
    await expect(semaphore.with(() => Promise.resolve())).rejects.toMatchObject({
      fault: { kind: 'exhausted', subject: 'pulls', message: 'pulls: 1 calls wait already' },
    });
    first.end();
    await one;
    expect(await two).toBe('two');
  });

  it('passes on the slot when the work fails', async () => {
    const semaphore = new Semaphore('x', 1, 1);
    await expect(semaphore.with(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await semaphore.with(() => Promise.resolve(1))).toBe(1);
  });

  it('removes an aborted caller from the queue, and never runs its work', async () => {
    const semaphore = new Semaphore('x', 1, 2);
    const first = held();
    const one = semaphore.with(first.work);
    const controller = new AbortController();
    let ran = false;
    const two = semaphore.with(() => {
      ran = true;
      return Promise.resolve();
    }, controller.signal);
    const three = semaphore.with(() => Promise.resolve('three'));
    controller.abort(new Error('gone'));
    await expect(two).rejects.toThrow('gone');
    first.end();
    await one;
    expect(await three).toBe('three');
    expect(ran).toBe(false);
  });

  it('leaves no listener on the signal of a caller whose turn has come', async () => {
    const semaphore = new Semaphore('x', 1, 2);
    const first = held();
    const second = held();
    const one = semaphore.with(first.work);
    const controller = new AbortController();
    const two = semaphore.with(second.work, controller.signal);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
    first.end();
    await one;
    await turns();
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
    controller.abort(new Error('gone'));
    second.end();
    await two;
    expect(await semaphore.with(() => Promise.resolve('three'))).toBe('three');
  });

  it('does not begin for an already aborted signal, and keeps its slots', async () => {
    const semaphore = new Semaphore('x', 1, 1);
    await expect(
      semaphore.with(() => Promise.resolve(), AbortSignal.abort(new Error('late'))),
    ).rejects.toThrow('late');
    expect(await semaphore.with(() => Promise.resolve(1))).toBe(1);
  });
});

describe('KeyedSemaphore', () => {
  it('has slots for each key, in order of arrival; an aborted caller leaves the queue of its key', async () => {
    const semaphore = new KeyedSemaphore('calls on', 2, 4);
    const [first, second] = [held(), held()];
    const begun: string[] = [];
    const note = (word: string, work: () => Promise<void>) => (): Promise<void> => {
      begun.push(word);
      return work();
    };
    const ready = (): Promise<void> => Promise.resolve();
    const controller = new AbortController();
    const a1 = semaphore.with('a', note('a1', first.work));
    const a2 = semaphore.with('a', note('a2', second.work));
    const a3 = semaphore.with('a', note('a3', ready), controller.signal);
    const a4 = semaphore.with('a', note('a4', ready));
    await semaphore.with('b', note('b1', ready));
    expect(begun).toEqual(['a1', 'a2', 'b1']);
    controller.abort(new Error('gone'));
    await expect(a3).rejects.toThrow('gone');
    second.end();
    await Promise.all([a2, a4]);
    expect(begun).toEqual(['a1', 'a2', 'b1', 'a4']);
    first.end();
    await a1;
  });
});

describe('KeyedMutex', () => {
  it('runs work on one key in sequence, and other keys in parallel', async () => {
    const mutex = new KeyedMutex('layers', 4);
    const first = held();
    const log: string[] = [];
    const note = (word: string, work: () => Promise<void>) => (): Promise<void> => {
      log.push(word);
      return work();
    };
    const a1 = mutex.with('a', note('a1', first.work));
    const a2 = mutex.with(
      'a',
      note('a2', () => Promise.resolve()),
    );
    const b1 = mutex.with(
      'b',
      note('b1', () => Promise.resolve()),
    );
    await b1;
    expect(log).toEqual(['a1', 'b1']);
    first.end();
    await Promise.all([a1, a2]);
    expect(log).toEqual(['a1', 'b1', 'a2']);
  });

  it('bounds the queue of each key, and names the key', async () => {
    const mutex = new KeyedMutex('layers', 1);
    const first = held();
    const one = mutex.with('a', first.work);
    const two = mutex.with('a', () => Promise.resolve());
    await expect(mutex.with('a', () => Promise.resolve())).rejects.toMatchObject({
      fault: { kind: 'exhausted', subject: 'layers a' },
    });
    first.end();
    await Promise.all([one, two]);
    await mutex.with('a', () => Promise.resolve());
  });
});

describe('Ring', () => {
  it('keeps the last items, oldest first', () => {
    const ring = new Ring<number>(3);
    expect(ring.items()).toEqual([]);
    for (let at = 0; at < 100; at += 1) {
      ring.push(at);
      expect(ring.items()).toEqual([at - 2, at - 1, at].filter((item) => item >= 0));
    }
  });
});
