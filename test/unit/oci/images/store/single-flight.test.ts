import { describe, expect, test } from 'vitest';
import { storageLimits } from '../../../../../src/oci/bounds.ts';
import { SingleFlight } from '../../../../../src/oci/images/store/single-flight.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { turns } from '../../../../support/turns.ts';

/** A promise with its handles. */
function deferred() {
  const handles: { resolve: () => void; reject: (error: Error) => void } = {
    resolve: () => undefined,
    reject: () => undefined,
  };
  const promise = new Promise<void>((resolve, reject) => {
    handles.resolve = resolve;
    handles.reject = reject;
  });
  return { promise, ...handles };
}

function passenger(signal: AbortSignal = new AbortController().signal) {
  const heard: number[] = [];
  return { signal, heard, onBytes: (bytes: number) => void heard.push(bytes) };
}

describe('work shared by callers', () => {
  test('one run serves all concurrent callers; a late one gets the progress so far', async () => {
    const flights = new SingleFlight(new HandClock());
    const work = deferred();
    const [one, two] = [passenger(), passenger()];
    let report: (bytes: number) => void = () => undefined;
    let runs = 0;
    const started = deferred();
    const run = async (_signal: AbortSignal, onBytes: (bytes: number) => void): Promise<void> => {
      runs += 1;
      report = onBytes;
      started.resolve();
      await work.promise;
    };
    const first = flights.join({ key: 'k', party: 'a', source: 'a' }, one, run);
    await started.promise;
    report(5);
    const second = flights.join({ key: 'k', party: 'a', source: 'a' }, two, run);
    report(9);
    work.resolve();
    await Promise.all([first, second]);
    expect(runs).toBe(1);
    expect([one.heard, two.heard]).toEqual([
      [5, 9],
      [5, 9],
    ]);
    expect(flights.has('k')).toBe(false);
  });

  test('the last caller to leave ends the work and waits for its end; one that comes then starts a new run', async () => {
    const flights = new SingleFlight(new HandClock());
    const leaver = new AbortController();
    const [cleaned, started, aborted] = [deferred(), deferred(), deferred()];
    const events: string[] = [];
    const first = flights.join(
      { key: 'k', party: 'a', source: 'a' },
      passenger(leaver.signal),
      async (signal) => {
        started.resolve();
        await new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => {
            resolve();
          });
        });
        aborted.resolve();
        await cleaned.promise;
        events.push('cleaned');
        signal.throwIfAborted();
      },
    );
    await started.promise;
    leaver.abort(new Error('gone'));
    const ended = first.catch((error: unknown) => events.push(error instanceof Error ? error.message : ''));
    await aborted.promise;
    const second = flights.join(
      { key: 'k', party: 'a', source: 'a' },
      passenger(),
      async () => void events.push('second'),
    );
    cleaned.resolve();
    await Promise.all([ended, second]);
    expect(events[0]).toBe('cleaned');
    expect(events.toSorted()).toEqual(['cleaned', 'gone', 'second']);
  });

  test('another caller’s failure makes a caller retry by itself, a bounded number of times', async () => {
    const flights = new SingleFlight(new HandClock());
    let runs = 0;
    const failing = async (): Promise<void> => {
      runs += 1;
      throw new Error(`failure ${runs}`);
    };
    const calls = Array.from({ length: 10 }, () =>
      flights.join({ key: 'k', party: 'a', source: 'a' }, passenger(), failing),
    );
    const results = await Promise.allSettled(calls);
    expect(results.every((result) => result.status === 'rejected')).toBe(true);
    expect(runs).toBeLessThanOrEqual(10);
  });

  test('different keys do not share work', async () => {
    const flights = new SingleFlight(new HandClock());
    const seen: string[] = [];
    await Promise.all(
      ['a', 'b'].map((key) =>
        flights.join({ key, party: 'a', source: 'a' }, passenger(), async () => void seen.push(key)),
      ),
    );
    expect(seen.toSorted()).toEqual(['a', 'b']);
  });
});

describe('S90 work that was begun for another party', () => {
  const LOOK = storageLimits.joinedCheckMs;
  const ENOUGH = (storageLimits.joinedBytesPerSecond * LOOK) / 1000;

  /** A's work is under way, and B has joined it, whose own would come from `source`. */
  async function joined(source = 'b') {
    const clock = new HandClock();
    const flights = new SingleFlight(clock);
    const events: string[] = [];
    const [theirs, own] = [deferred(), deferred()];
    let move: (bytes: number) => void = () => undefined;
    let arrive: () => void = () => undefined;
    const first = flights.join(
      { key: 'k', party: 'a', source: 'a' },
      passenger(),
      async (signal, onBytes, arrived) => {
        events.push('a');
        move = onBytes;
        arrive = arrived;
        signal.addEventListener('abort', () => {
          events.push('a ended');
          theirs.reject(new Error('aborted'));
        });
        await theirs.promise;
      },
    );
    await turns();
    const second = flights.join({ key: 'k', party: 'b', source }, passenger(), async () => {
      events.push('b');
      await own.promise;
    });
    await turns();
    expect(events).toEqual(['a']);
    return {
      clock,
      flights,
      events,
      theirs,
      own,
      first,
      second,
      move: (bytes: number) => move(bytes),
      arrive: () => arrive(),
    };
  }

  test('is waited for while it progresses, and while the rest is local work', async () => {
    const { clock, events, theirs, first, second, move, arrive } = await joined();
    for (let at = 1; at <= 5; at += 1) {
      move(at * ENOUGH);
      await clock.advance(LOOK);
    }
    arrive();
    await clock.advance(10 * LOOK);
    theirs.resolve();
    await Promise.all([first, second]);
    expect([events.includes('b'), clock.timers.size]).toEqual([false, 0]);
  });

  test('is left alone once it trickles: an own run is begun, and its success ends the wait of all', async () => {
    const { clock, flights, events, own, first, second, move } = await joined();
    move(ENOUGH);
    await clock.advance(LOOK);
    expect(events).toEqual(['a']);
    move(ENOUGH + 4096);
    await clock.advance(LOOK);
    expect(events).toEqual(['a', 'b']);
    own.resolve();
    await Promise.all([first, second]);
    await turns();
    expect([events, flights.has('k'), clock.timers.size]).toEqual([['a', 'b', 'a ended'], false, 0]);
  });

  test('is waited for on a slow line, too, where an own run would use the same source, so that nothing is downloaded twice', async () => {
    const { clock, events, theirs, own, first, second, move } = await joined('a');
    // 40 kbit/s
    for (let at = 1; at <= 5; at += 1) {
      move((at * 5000 * LOOK) / 1000);
      await clock.advance(LOOK);
    }
    expect(events).toEqual(['a']);
    // not one that brings nothing at all, be it because its namespace has no turn
    await clock.advance(LOOK);
    expect(events).toEqual(['a', 'b']);
    own.resolve();
    theirs.resolve();
    await Promise.all([first, second]);
  });

  test('does not affect an own run under way by its failure', async () => {
    const { clock, events, theirs, own, first, second } = await joined();
    await clock.advance(LOOK);
    theirs.reject(new Error('theirs'));
    await expect(first).rejects.toThrow('theirs');
    own.resolve();
    await second;
    expect(events.slice(0, 2)).toEqual(['a', 'b']);
  });

  test('is joined by a third party at the run with the most progress', async () => {
    const { clock, flights, events, own, first, second, move } = await joined();
    await clock.advance(LOOK);
    move(1);
    const third = passenger();
    const last = flights.join(
      { key: 'k', party: 'c', source: 'c' },
      third,
      async () => void events.push('c'),
    );
    await turns();
    expect(third.heard).toEqual([1]);
    own.resolve();
    await Promise.all([first, second, last]);
    expect(events).not.toContain('c');
  });
});
