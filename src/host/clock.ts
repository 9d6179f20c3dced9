/** The real clock: the one place where time is read and timers are set. */
import type { ClockPort, TimerHandle } from '../actors/ports/clock.ts';
import { CLOCK_REALTIME, TIMESPEC_BYTES, readTimespec } from './ffi-constants.ts';
import { callSync, libc } from './ffi.ts';

/** Node fires a longer or non-numeric delay at once (platform fact: 2³¹−1 is its limit). */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The clock of the machine. */
export function realClock(): ClockPort {
  const time = Buffer.alloc(TIMESPEC_BYTES);
  let last = 0n;
  return {
    nowNs(): bigint {
      // Date.now has milliseconds only; two facts of one ms must keep their order in lists and logs
      callSync(libc.clockGettime, CLOCK_REALTIME, time);
      const now = readTimespec(time, 0);
      last = now > last ? now : last + 1n;
      return last;
    },
    monoMs: () => performance.now(),
    setTimeout: (fn: () => void, ms: number): TimerHandle => setTimeout(fn, clamp(ms)),
    clearTimeout(handle: TimerHandle): void {
      clearTimeout(handle as NodeJS.Timeout);
    },
  };
}

function clamp(ms: number): number {
  if (Number.isNaN(ms)) return LONGEST_TIMER_MS;
  return Math.min(Math.max(ms, 0), LONGEST_TIMER_MS);
}

/** Resolves after `ms` milliseconds of that clock. */
export function pause(clock: ClockPort, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimeout(resolve, ms);
  });
}
