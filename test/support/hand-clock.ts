import type { ClockPort } from '../../src/ports/clock.ts';

/** Time that stands still until the test moves it; timers run when the test says so. */
export class HandClock implements ClockPort {
  nowMs = 0;
  readonly timers = new Map<object, { readonly fn: () => void; readonly ms: number }>();

  nowNs(): bigint {
    return BigInt(this.nowMs) * 1_000_000n;
  }

  monoMs(): number {
    return this.nowMs;
  }

  setTimeout(fn: () => void, ms: number): object {
    const handle = {};
    this.timers.set(handle, { fn, ms });
    return handle;
  }

  clearTimeout(handle: object | number): void {
    this.timers.delete(handle as object);
  }

  /** Runs the timers that were set for that many milliseconds; all without one. */
  fire(ms?: number): void {
    for (const [handle, timer] of [...this.timers]) {
      if (ms !== undefined && timer.ms !== ms) continue;
      // one before it may have cleared it
      if (this.timers.delete(handle)) timer.fn();
    }
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
