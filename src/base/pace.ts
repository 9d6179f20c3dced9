/** A rate limit: `times` within each `everyMs`. */
export interface PaceBound {
  readonly times: number;
  readonly everyMs: number;
}

/** Counts against one rate limit. A caller that is over it gets the time to wait, and decides what to do. */
export class Pace {
  readonly #bound: PaceBound;
  #untilMs = -Infinity;
  #taken = 0;

  constructor(bound: PaceBound) {
    this.#bound = bound;
  }

  /**
   * 0 if the caller may go on, which is counted; else the milliseconds until the next span begins. `nowMs` must not
   * decrease.
   */
  take(nowMs: number): number {
    const { times, everyMs } = this.#bound;
    if (nowMs >= this.#untilMs) {
      this.#untilMs = nowMs + everyMs;
      this.#taken = 0;
    }
    if (this.#taken >= times) return this.#untilMs - nowMs;
    this.#taken += 1;
    return 0;
  }
}

/**
 * For input that is joined while it waits: beyond `times` in a span the caller waits `restMs`, not until the span ends.
 */
export class RestingPace {
  readonly #pace: Pace;
  readonly #restMs: number;

  constructor(bound: PaceBound, restMs: number) {
    this.#pace = new Pace(bound);
    this.#restMs = restMs;
  }

  /** Milliseconds to wait before the next time. `nowMs` must not decrease. */
  take(nowMs: number): number {
    return Math.min(this.#pace.take(nowMs), this.#restMs);
  }
}
