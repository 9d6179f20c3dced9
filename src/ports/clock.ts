/** Time as actors and drivers see it. It is a port so that the simulation can provide its own. */

/** Opaque: returned by `setTimeout`, accepted by `clearTimeout`. */
export type TimerHandle = object | number;

export interface ClockPort {
  /**
   * Wall clock in nanoseconds since the epoch; strictly increasing within one process unless the clock is set
   * back by much.
   */
  nowNs(): bigint;
  /**
   * Monotonic milliseconds since the machine's boot, for deadlines. Two processes of one boot may compare
   * them.
   */
  monoMs(): number;
  /** Calls `fn` once after `ms` milliseconds; `ms` is clamped to 0 … 2³¹−1. */
  setTimeout(fn: () => void, ms: number): TimerHandle;
  clearTimeout(handle: TimerHandle): void;
}
