/** The real clock: the only place that reads the time and sets timers. */
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import { clockLimits } from '../bounds.ts';
import { CLOCK_REALTIME, TIMESPEC_BYTES, readTimespec } from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';

/** The longest delay that Node accepts; a longer or non-numeric one fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The machine's clock. */
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

/** Never returns the same time twice, so that two facts of one moment keep their order in lists and logs. */
export function ascending(readNs: () => bigint): () => bigint {
  let last = 0n;
  return () => {
    const now = readNs();
    // follow a clock that was set back by much: counting on from the old time would report a wrong time for
    // ever (F78)
    const isSetBack = last - now > BigInt(clockLimits.setBackMs) * 1_000_000n;
    last = now > last || isSetBack ? now : last + 1n;
    return last;
  };
}

/**
 * Unlike performance.now, which counts from the start of the process, this clock means the same to the next
 * boot of the daemon: recorded deadlines need that.
 */
function monoMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/**
 * After the process was stopped or its event loop was blocked, Node fires due timers before anything else
 * that became ready meanwhile: exits of processes, bytes in pipes, answers. A time limit would then fire for
 * work that was done long ago. So a timer that fires very late waits once more until those have been read
 * (F15, F79).
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
    // Node counts whole milliseconds from a rounded time, so it may fire up to two too early
    if (lateMs < 0) this.#timeout = setTimeout(() => this.#onTime(), Math.ceil(-lateMs));
    else if (lateMs < clockLimits.stallMs) this.#fn();
    else this.#timeout = setTimeout(this.#fn, clockLimits.afterStallMs);
  }
}

/** A span in which the event loop did not run. */
export interface Stall {
  readonly ms: number;
  /**
   * CPU time of this process in that span: near `ms` if it was busy itself, little if it was stopped or got
   * no CPU.
   */
  readonly cpuMs: number;
}

/**
 * Reports each stall of `clockLimits.stallMs` or more, once it is over. Returns a function that ends the
 * watch; does not keep the process alive.
 */
export function watchForStalls(report: (stall: Stall) => void): () => void {
  let lastMs = monoMs();
  let lastCpu = process.cpuUsage();
  const check = setInterval(() => {
    const [nowMs, cpu] = [monoMs(), process.cpuUsage(lastCpu)];
    const ms = nowMs - lastMs - clockLimits.stallCheckMs;
    if (ms >= clockLimits.stallMs)
      report({ ms: Math.round(ms), cpuMs: Math.round((cpu.user + cpu.system) / 1000) });
    lastMs = nowMs;
    lastCpu = process.cpuUsage();
  }, clockLimits.stallCheckMs);
  check.unref();
  return () => clearInterval(check);
}

function clamp(ms: number): number {
  if (Number.isNaN(ms)) return LONGEST_TIMER_MS;
  return Math.min(Math.max(ms, 0), LONGEST_TIMER_MS);
}
