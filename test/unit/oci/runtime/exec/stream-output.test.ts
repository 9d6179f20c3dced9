import { describe, expect, it } from 'vitest';
import type { TimerHandle } from '../../../../../src/ports/clock.ts';
import type { ByteSink, ByteSource } from '../../../../../src/base/byte-streams.ts';
import { driverLimits } from '../../../../../src/oci/runtime/bounds.ts';
import { portLimits } from '../../../../../src/ports/bounds.ts';
import { drain, OutputPump } from '../../../../../src/oci/runtime/exec/stream-output.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { loopTurn } from '../../../../support/turns.ts';

/** Each timer takes a turn of the event loop and its own time; the first also `stallMs`. */
class TurningClock extends HandClock {
  #stallMs: number;

  constructor(stallMs = 0) {
    super();
    this.#stallMs = stallMs;
  }

  override setTimeout(fn: () => void, ms: number): TimerHandle {
    return setImmediate(() => {
      this.nowMs += ms + this.#stallMs;
      this.#stallMs = 0;
      fn();
    });
  }

  override clearTimeout(handle: TimerHandle): void {
    clearImmediate(handle as NodeJS.Immediate);
  }
}

/** A pipe: what is pushed, then its end. */
function pipe(): ByteSource & { push(text: string | undefined): void } {
  const waiting: (string | undefined)[] = [];
  let wake = (): void => undefined;
  return {
    push: (text) => {
      waiting.push(text);
      wake();
    },
    read: async () => {
      if (waiting.length === 0)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      const text = waiting.shift();
      return text === undefined ? undefined : Buffer.from(text);
    },
    cancel: () => undefined,
  };
}

function collector(): ByteSink & { readonly text: () => string } {
  let all = '';
  return {
    text: () => all,
    write: (bytes) => {
      all += Buffer.from(bytes).toString();
      return Promise.resolve();
    },
    end: () => undefined,
  };
}

const never = new AbortController().signal;

describe('the last output of a process that has ended', () => {
  it('is waited for, however long the process was silent before', async () => {
    const clock = new TurningClock();
    const [source, sink] = [pipe(), collector()];
    const pump = new OutputPump(source, sink, clock);
    clock.pass(5 * driverLimits.drainQuietMs);
    const drained = drain([pump], clock, never);
    clock.setTimeout(
      () =>
        clock.setTimeout(() => {
          source.push('last words');
          source.push(undefined);
        }, 0),
      0,
    );
    await drained;
    expect(sink.text()).toBe('last words');
  });

  it('is read before the time counts, after a stall of the event loop', async () => {
    const clock = new TurningClock(5 * driverLimits.drainQuietMs);
    const [source, sink] = [pipe(), collector()];
    const pump = new OutputPump(source, sink, clock);
    const drained = drain([pump], clock, never);
    // in the pipe since before the stall: read in the turn of the timer that was late
    clock.setTimeout(() => {
      source.push('last words');
      source.push(undefined);
    }, 0);
    await drained;
    expect(sink.text()).toBe('last words');
  });

  it('is not waited for beyond the quiet time where a background child holds the pipe', async () => {
    const clock = new TurningClock();
    const pump = new OutputPump(pipe(), collector(), clock);
    await drain([pump], clock, never);
    expect(clock.monoMs()).toBeGreaterThanOrEqual(driverLimits.drainQuietMs);
    expect(clock.monoMs()).toBeLessThan(driverLimits.drainQuietMs + 2 * driverLimits.drainPollMs);
  });

  it('is not awaited for ever where a background child keeps writing', async () => {
    const clock = new TurningClock();
    const source = pipe();
    const pump = new OutputPump(source, collector(), clock);
    let isOver = false;
    const write = (): void => {
      if (isOver) return;
      source.push('more');
      setImmediate(write);
    };
    write();
    await drain([pump], clock, never);
    isOver = true;
    expect(clock.monoMs()).toBeGreaterThanOrEqual(portLimits.streamDrainMs);
  });

  it('is waited for while the client does not read, however long, and is whole', async () => {
    const clock = new TurningClock();
    const [source, sink] = [pipe(), collector()];
    let read = (): void => undefined;
    const paused: ByteSink = {
      end: () => undefined,
      async write(bytes) {
        await new Promise<void>((resolve) => {
          read = resolve;
        });
        await sink.write(bytes);
      },
    };
    const pump = new OutputPump(source, paused, clock);
    for (const part of ['first', ' second', ' last words', undefined]) source.push(part);
    const drained = drain([pump], clock, never);
    while (clock.monoMs() < 3 * portLimits.streamDrainMs)
      await new Promise<void>((resolve) => {
        clock.setTimeout(resolve, 0);
      });
    const reading = new Promise<void>((resolve) => {
      const next = (): void => {
        read();
        if (sink.text().endsWith('last words')) resolve();
        else setImmediate(next);
      };
      next();
    });
    await Promise.all([drained, reading]);
    expect(sink.text()).toBe('first second last words');
  });
});

describe('S85 a drain', () => {
  it('of a client that reads its output late leaves no waiter behind for each poll', async () => {
    const clock = new TurningClock();
    const source = pipe();
    const taking = Promise.withResolvers<void>();
    source.push('the last words');
    source.push(undefined);
    const pump = new OutputPump(source, { write: () => taking.promise, end: () => undefined }, clock);
    const raced: unknown[] = [];
    const { race } = Promise;
    Promise.race = function count(this: PromiseConstructor, values: Iterable<unknown>) {
      const all = [...values];
      raced.push(all[0]);
      return Reflect.apply(race, this, [all]) as Promise<unknown>;
    } as typeof Promise.race;
    try {
      const draining = drain([pump], clock, new AbortController().signal);
      while (raced.length < 50) await loopTurn();
      taking.resolve();
      await draining;
    } finally {
      Promise.race = race;
    }
    expect(new Set(raced).size).toBe(raced.length);
  });
});
