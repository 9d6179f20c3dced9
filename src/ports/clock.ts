/** Time as actors and drivers see it: handed in, so that the simulation can bring its own. */

/** Opaque: what `setTimeout` gave and `clearTimeout` takes. */
export type TimerHandle = object | number;

export interface ClockPort {
  /** Wall clock in nanoseconds since the epoch, strictly increasing within one process unless somebody sets it back by much. */
  nowNs(): bigint;
  /** Monotonic milliseconds, for deadlines. They count from the machine's boot: within one, two processes mean the same by them. */
  monoMs(): number;
  /** Calls `fn` once after `ms` milliseconds; `ms` is clamped to 0 … 2³¹−1. */
  setTimeout(fn: () => void, ms: number): TimerHandle;
  clearTimeout(handle: TimerHandle): void;
}
