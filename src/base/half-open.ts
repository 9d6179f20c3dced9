/**
 * Peers that have connected, or begun a request, and have not yet sent enough to be served. Each costs a descriptor
 * and memory for nothing, so both their number and the time of each are bounded (S94). The time is counted from the
 * beginning and not from the last byte: a peer that sends one byte a second is as far from a request as one that sends
 * nothing.
 */
import { halfOpenLimits } from './bounds.ts';

/** The part of ClockPort that is used. */
interface Timers {
  setTimeout(fn: () => void, ms: number): object | number;
  clearTimeout(handle: object | number): void;
}

export interface HalfOpenOptions<T> {
  readonly clock: Timers;
  /** Peers at once; the next one cuts the oldest. */
  readonly most: number;
  /** Bytes that all peers together have sent; one more cuts the oldest. Without it they are not counted. */
  readonly mostBytes?: number;
  /** Disconnects a peer. It may call `end`. */
  readonly cut: (one: T) => void;
  /** Called with the number of peers cut since the last report, at most once in `halfOpenLimits.scans` scans. */
  readonly report: (count: number) => void;
}

interface WaitingPeer {
  /** Scans that have seen it. Scans are counted instead of time, so that a stall of the event loop counts once. */
  scans: number;
  isTimed: boolean;
  bytes: number;
}

/** In the order in which they began. */
export class HalfOpen<T> {
  readonly #options: HalfOpenOptions<T>;
  readonly #waiting = new Map<T, WaitingPeer>();
  #timer: object | number | undefined;
  #cut = 0;
  #bytes = 0;
  #scansSinceReport = 0;

  constructor(options: HalfOpenOptions<T>) {
    this.#options = options;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Adds a peer; its time begins now. If there are `most` already, the oldest is cut. */
  begin(one: T): void {
    this.end(one);
    const [oldest] = this.#waiting.keys();
    if (oldest !== undefined && this.#waiting.size >= this.#options.most) this.#end(oldest);
    this.#waiting.set(one, { scans: 0, isTimed: true, bytes: 0 });
    this.#scanLater();
  }

  /** Counts bytes that the peer has sent and that are kept until its request is whole. */
  received(one: T, bytes: number): void {
    const waiting = this.#waiting.get(one);
    if (waiting === undefined) return;
    waiting.bytes += bytes;
    this.#bytes += bytes;
    for (const oldest of this.#waiting.keys()) {
      if (this.#bytes <= (this.#options.mostBytes ?? Infinity)) return;
      this.#end(oldest);
    }
  }

  /** The peer has no time limit from now on, but still counts. */
  untime(one: T): void {
    const waiting = this.#waiting.get(one);
    if (waiting !== undefined) waiting.isTimed = false;
  }

  /** The peer has sent a whole request, or has disconnected. */
  end(one: T): void {
    this.#bytes -= this.#waiting.get(one)?.bytes ?? 0;
    this.#waiting.delete(one);
  }

  /** Forgets all peers without cutting them. */
  close(): void {
    this.#waiting.clear();
    this.#bytes = 0;
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #end(one: T): void {
    this.end(one);
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
