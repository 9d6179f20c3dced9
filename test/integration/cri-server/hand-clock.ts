import type { ClockPort } from '../../../src/actors/ports/clock.ts';

/** Real time, but timers run only when the test says so. */
export class HandClock implements ClockPort {
  readonly timers = new Map<object, { fn: () => void; ms: number }>();
  nowNs(): bigint {
    return BigInt(Date.now()) * 1_000_000n;
  }
  monoMs(): number {
    return performance.now();
  }
  setTimeout(fn: () => void, ms: number): object {
    const handle = {};
    this.timers.set(handle, { fn, ms });
    return handle;
  }
  clearTimeout(handle: object | number): void {
    this.timers.delete(handle as object);
  }
  fireAll(): void {
    const due = [...this.timers.values()];
    this.timers.clear();
    for (const timer of due) timer.fn();
  }
}
