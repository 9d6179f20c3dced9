import { describe, expect, test } from 'vitest';
import { Flights } from '../../../src/oci/storage/flights.ts';

/** A promise with its handles. */
function deferred() {
  const handles: { resolve: () => void; reject: (error: Error) => void } = { resolve: () => undefined, reject: () => undefined };
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
  test('one run for all who come meanwhile; a late one hears where it stands', async () => {
    const flights = new Flights();
    const work = deferred();
    const [one, two] = [passenger(), passenger()];
    let tell: (bytes: number) => void = () => undefined;
    let runs = 0;
    const started = deferred();
    const run = async (_signal: AbortSignal, onBytes: (bytes: number) => void): Promise<void> => {
      runs += 1;
      tell = onBytes;
      started.resolve();
      await work.promise;
    };
    const first = flights.join('k', one, run);
    await started.promise;
    tell(5);
    const second = flights.join('k', two, run);
    tell(9);
    work.resolve();
    await Promise.all([first, second]);
    expect(runs).toBe(1);
    expect([one.heard, two.heard]).toEqual([[5, 9], [5, 9]]);
    expect(flights.has('k')).toBe(false);
  });

  test('the last one to leave ends the work and waits for its end; one that comes then starts anew', async () => {
    const flights = new Flights();
    const leaver = new AbortController();
    const [cleaned, started, aborted] = [deferred(), deferred(), deferred()];
    const events: string[] = [];
    const first = flights.join('k', passenger(leaver.signal), async (signal) => {
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
    });
    await started.promise;
    leaver.abort(new Error('gone'));
    const ended = first.catch((error: unknown) => events.push(error instanceof Error ? error.message : ''));
    await aborted.promise;
    const second = flights.join('k', passenger(), async () => void events.push('second'));
    cleaned.resolve();
    await Promise.all([ended, second]);
    expect(events[0]).toBe('cleaned');
    expect(events.toSorted()).toEqual(['cleaned', 'gone', 'second']);
  });

  test('somebody else’s failure makes the caller try by itself, a bounded number of times', async () => {
    const flights = new Flights();
    let runs = 0;
    const failing = async (): Promise<void> => {
      runs += 1;
      throw new Error(`failure ${runs}`);
    };
    const calls = Array.from({ length: 10 }, () => flights.join('k', passenger(), failing));
    const results = await Promise.allSettled(calls);
    expect(results.every((result) => result.status === 'rejected')).toBe(true);
    expect(runs).toBeLessThanOrEqual(10);
  });

  test('different keys do not meet', async () => {
    const flights = new Flights();
    const seen: string[] = [];
    await Promise.all(['a', 'b'].map((key) => flights.join(key, passenger(), async () => void seen.push(key))));
    expect(seen.toSorted()).toEqual(['a', 'b']);
  });
});
