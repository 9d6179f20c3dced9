/**
 * A clock for tests of the registry client. Waits between attempts (up to the longest one) pass at once and are
 * recorded; timeouts (`testTimeouts`, all longer) pass only when a scripted fault calls `advance`.
 */
import { distributionLimits } from '../../../src/oci/images/bounds.ts';
import type { ClockPort, TimerHandle } from '../../../src/ports/clock.ts';
import type { RandomPort } from '../../../src/ports/random.ts';
import type { Timeouts } from '../../../src/oci/images/registry/transport.ts';

export const testTimeouts: Timeouts = {
  connectMs: 100_000,
  headersMs: 200_000,
  stallMs: 300_000,
  documentMs: 400_000,
};

export class TestClock implements ClockPort {
  /** Milliseconds of every wait between attempts, in order. */
  readonly waits: number[] = [];
  #nowMs = Date.UTC(2026, 0, 1);
  readonly #timers = new Map<object, { readonly at: number; readonly fn: () => void }>();

  nowNs(): bigint {
    return BigInt(this.#nowMs) * 1_000_000n;
  }

  monoMs(): number {
    return this.#nowMs;
  }

  setTimeout(fn: () => void, ms: number): TimerHandle {
    if (ms <= distributionLimits.longestWaitMs) {
      this.waits.push(ms);
      return setImmediate(fn);
    }
    const handle = {};
    this.#timers.set(handle, { at: this.#nowMs + ms, fn });
    return handle;
  }

  clearTimeout(handle: TimerHandle): void {
    if (this.#timers.delete(handle as object)) return;
    clearImmediate(handle as NodeJS.Immediate);
  }

  /** Lets time pass; due timers fire in order. */
  advance(ms: number): void {
    this.#nowMs += ms;
    const due = [...this.#timers]
      .filter(([, timer]) => timer.at <= this.#nowMs)
      .toSorted(([, a], [, b]) => a.at - b.at);
    for (const [handle, timer] of due) if (this.#timers.delete(handle)) timer.fn();
  }

  /** Timers that wait: 0 after an operation, or it forgot one. */
  get armed(): number {
    return this.#timers.size;
  }
}

/** The same digits each time. */
export const testRandom: RandomPort = {
  id: () => '7'.repeat(64),
  token: (bytes) => '7f'.repeat(bytes),
};
