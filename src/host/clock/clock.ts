/** The real clock: the one place where time is read and timers are set. */
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import { clockLimits } from '../bounds.ts';
import { CLOCK_REALTIME, TIMESPEC_BYTES, readTimespec } from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';

/** Node fires a longer or non-numeric delay at once (platform fact: 2³¹−1 is its limit). */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The clock of the machine. */
export function realClock(): ClockPort {
  const time = Buffer.alloc(TIMESPEC_BYTES);
  return {
    nowNs: ascending(() => {
      callSync(libc.clockGettime, CLOCK_REALTIME, time);
      return readTimespec(time, 0);
    }),
    monoMs,
    setTimeout: (fn: () => void, ms: number): TimerHandle => new Timer(fn, clamp(ms)),
    clearTimeout(handle: TimerHandle): void {
      if (handle instanceof Timer) handle.clear();
    },
  };
}

/** Never the same time twice, since two facts of one moment must keep their order in lists and logs. */
export function ascending(readNs: () => bigint): () => bigint {
  let last = 0n;
  return () => {
    const now = readNs();
    // a clock that was set back is believed: counting on from what it said before would tell a wrong time for ever (F78)
    const isSetBack = last - now > BigInt(clockLimits.setBackMs) * 1_000_000n;
    last = now > last || isSetBack ? now : last + 1n;
    return last;
  };
}

/** Node's own performance.now counts from the start of the process; a deadline on record has to mean the same to the next one. */
function monoMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/**
 * Timers come before everything else that became ready while the process was stopped or its event loop stood still: ends
 * of processes, bytes in pipes, answers. A bound that ran out in such a time would fire for work that was done long ago,
 * so it is looked at once more when what came in has been taken in (F15, F79).
 */
class Timer {
  readonly #fn: () => void;
  readonly #dueMs: number;
  #timeout: NodeJS.Timeout;

  constructor(fn: () => void, ms: number) {
    this.#fn = fn;
    this.#dueMs = monoMs() + ms;
    this.#timeout = setTimeout(() => this.#onTime(), ms);
  }

  clear(): void {
    clearTimeout(this.#timeout);
  }

  #onTime(): void {
    const lateMs = monoMs() - this.#dueMs;
    // Node counts whole milliseconds from a time that it has cut to one, so it may call up to two too early
    if (lateMs < 0) this.#timeout = setTimeout(() => this.#onTime(), Math.ceil(-lateMs));
    else if (lateMs < clockLimits.stallMs) this.#fn();
    else this.#timeout = setTimeout(this.#fn, clockLimits.afterStallMs);
  }
}

/** A time in which the event loop did not turn. */
export interface Stall {
  readonly ms: number;
  /** Of this process in that time: near `ms` where it was busy itself, little where it was stopped or had no processor. */
  readonly cpuMs: number;
}

/** Tells each stall of `clockLimits.stallMs` or more once it is over. Gives what ends it; keeps no process alive. */
export function watchForStalls(tell: (stall: Stall) => void): () => void {
  let lastMs = monoMs();
  let lastCpu = process.cpuUsage();
  const look = setInterval(() => {
    const [nowMs, cpu] = [monoMs(), process.cpuUsage(lastCpu)];
    const ms = nowMs - lastMs - clockLimits.stallLookMs;
    if (ms >= clockLimits.stallMs)
      tell({ ms: Math.round(ms), cpuMs: Math.round((cpu.user + cpu.system) / 1000) });
    lastMs = nowMs;
    lastCpu = process.cpuUsage();
  }, clockLimits.stallLookMs);
  look.unref();
  return () => clearInterval(look);
}

function clamp(ms: number): number {
  if (Number.isNaN(ms)) return LONGEST_TIMER_MS;
  return Math.min(Math.max(ms, 0), LONGEST_TIMER_MS);
}
