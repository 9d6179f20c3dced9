import type { ClockPort, TimerHandle } from '../../src/ports/clock.ts';
import { turns } from './turns.ts';

interface Timer {
  readonly fn: () => void;
  /** As it was asked for. */
  readonly ms: number;
  /** Time of the clock at which it is due. */
  readonly atMs: number;
}

/** Time that stands still until the test moves it; timers run when the test says so. */
export class HandClock implements ClockPort {
  nowMs: number;
  /** Those that wait, in the order in which they were set. */
  readonly timers = new Map<object, Timer>();

  constructor(nowMs = 0) {
    this.nowMs = nowMs;
  }

  nowNs(): bigint {
    return BigInt(this.nowMs) * 1_000_000n;
  }

  monoMs(): number {
    return this.nowMs;
  }

  setTimeout(fn: () => void, ms: number): TimerHandle {
    const handle = {};
    this.timers.set(handle, { fn, ms, atMs: this.nowMs + ms });
    return handle;
  }

  clearTimeout(handle: TimerHandle): void {
    this.timers.delete(handle as object);
  }

  /** Runs the timers that were set for that many milliseconds; all without one. Time stands still. */
  fire(ms?: number): void {
    for (const [handle, timer] of [...this.timers]) {
      if (ms !== undefined && timer.ms !== ms) continue;
      // one before it may have cleared it
      if (this.timers.delete(handle)) timer.fn();
    }
  }

  /** Moves time on and runs each timer that is due at its own time, the earliest first. */
  pass(ms: number): void {
    const endMs = this.nowMs + ms;
    for (let due = this.#nextBy(endMs); due !== undefined; due = this.#nextBy(endMs)) due();
    this.nowMs = endMs;
  }

  /** As `pass`; what waits on a timer runs before the next one. */
  async advance(ms: number): Promise<void> {
    const endMs = this.nowMs + ms;
    for (let due = this.#nextBy(endMs); due !== undefined; due = this.#nextBy(endMs)) {
      due();
      await turns();
    }
    this.nowMs = endMs;
    await turns();
  }

  /** Takes the earliest timer that is due by then; calling it moves time there. */
  #nextBy(endMs: number): (() => void) | undefined {
    const [first] = [...this.timers]
      .filter(([, timer]) => timer.atMs <= endMs)
      .toSorted(([, a], [, b]) => a.atMs - b.atMs);
    if (first === undefined) return undefined;
    const [handle, { fn, atMs }] = first;
    this.timers.delete(handle);
    return () => {
      this.nowMs = atMs;
      fn();
    };
  }
}

/** The same in the machine's own time, for what is compared with a library's. */
export class HandTimers extends HandClock {
  override nowNs(): bigint {
    return BigInt(Date.now()) * 1_000_000n;
  }

  override monoMs(): number {
    return performance.now();
  }
}
