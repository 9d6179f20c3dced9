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
