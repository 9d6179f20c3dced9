/** How often something may happen in a time, whoever asks for it and however often: `times` within each `everyMs`. */
export interface PaceBound {
  readonly times: number;
  readonly everyMs: number;
}

/** Counts for one such bound. Who may not now is given the time until he may; what he does then is his to decide. */
export class Pace {
  readonly #bound: PaceBound;
  #untilMs = -Infinity;
  #taken = 0;

  constructor(bound: PaceBound) {
    this.#bound = bound;
  }

  /** 0: now, and this time is counted. Else the milliseconds until the next span begins. `nowMs` never goes back. */
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

/** For what is joined while it waits: beyond `times` in a span each further one is followed by a rest, and not by the span's end. */
export class RestingPace {
  readonly #pace: Pace;
  readonly #restMs: number;

  constructor(bound: PaceBound, restMs: number) {
    this.#pace = new Pace(bound);
    this.#restMs = restMs;
  }

  /** Milliseconds until the next time may come after this one. `nowMs` never goes back. */
  take(nowMs: number): number {
    return Math.min(this.#pace.take(nowMs), this.#restMs);
  }
}
