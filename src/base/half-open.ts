/**
 * Peers that have connected, or begun a request, and have not yet sent enough to be served. Each costs a descriptor
 * and memory for nothing, so both their number and the time of each are bounded (S94). The time is counted from the
 * beginning and not from the last byte: a peer that sends one byte a second is as far from a request as one that sends
 * nothing.
 */
import { halfOpenLimits } from './bounds.ts';

/** The part of a clock that is needed (ClockPort). */
interface Timers {
  setTimeout(fn: () => void, ms: number): object | number;
  clearTimeout(handle: object | number): void;
}

export interface HalfOpenOptions<T> {
  readonly clock: Timers;
  /** At once; the next one ends the oldest. */
  readonly most: number;
  /** Ends one. It may call `end`. */
  readonly cut: (one: T) => void;
  /** So many were cut since the last report: at most one report for each `halfOpenLimits.scans` scans. */
  readonly report: (count: number) => void;
}

interface Waiting {
  /** Scans that have seen it. Counted in scans, so that a stall of the event loop counts as one. */
  scans: number;
  isTimed: boolean;
}

/** In the order in which they began. */
export class HalfOpen<T> {
  readonly #options: HalfOpenOptions<T>;
  readonly #waiting = new Map<T, Waiting>();
  #timer: object | number | undefined;
  #cut = 0;
  #scansSinceReport = 0;

  constructor(options: HalfOpenOptions<T>) {
    this.#options = options;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Counts it, and its time from now; where there are `most` already, the oldest is cut. */
  begin(one: T): void {
    this.#waiting.delete(one);
    const [oldest] = this.#waiting.keys();
    if (oldest !== undefined && this.#waiting.size >= this.#options.most) this.#end(oldest);
    this.#waiting.set(one, { scans: 0, isTimed: true });
    this.#scanLater();
  }

  /** It may take as long as it likes from now on, but still counts. */
  untime(one: T): void {
    const waiting = this.#waiting.get(one);
    if (waiting !== undefined) waiting.isTimed = false;
  }

  /** It has sent what it is served for, or has gone. */
  end(one: T): void {
    this.#waiting.delete(one);
  }

  /** Forgets all of them; cuts none. */
  close(): void {
    this.#waiting.clear();
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #end(one: T): void {
    this.#waiting.delete(one);
    this.#cut += 1;
    this.#options.cut(one);
  }

  #scanLater(): void {
    this.#timer ??= this.#options.clock.setTimeout(() => {
      this.#timer = undefined;
      this.#scan();
    }, halfOpenLimits.scanMs);
  }

  #scan(): void {
    let hasTimed = false;
    for (const [one, waiting] of [...this.#waiting]) {
      if (!waiting.isTimed) continue;
      waiting.scans += 1;
      if (waiting.scans >= halfOpenLimits.scans) this.#end(one);
      else hasTimed = true;
    }
    this.#scansSinceReport += 1;
    if (this.#cut > 0 && (!hasTimed || this.#scansSinceReport >= halfOpenLimits.scans)) {
      this.#options.report(this.#cut);
      this.#cut = 0;
      this.#scansSinceReport = 0;
    }
    if (hasTimed || this.#cut > 0) this.#scanLater();
  }
}
