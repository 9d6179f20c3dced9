/**
 * A clock for tests of the registry client. Waits between attempts (up to the longest one) pass at once and are
 * recorded; timeouts (`testTimeouts`, all longer) pass only when a scripted fault calls `pass`.
 */
import { distributionLimits } from '../../../src/oci/images/bounds.ts';
import type { TimerHandle } from '../../../src/ports/clock.ts';
import type { RandomPort } from '../../../src/ports/random.ts';
import type { Timeouts } from '../../../src/oci/images/registry/transport.ts';
import { HandClock } from '../hand-clock.ts';

export const testTimeouts: Timeouts = {
  connectMs: 100_000,
  headersMs: 200_000,
  stallMs: 300_000,
  documentMs: 400_000,
};

export class TestClock extends HandClock {
  /** Milliseconds of every wait between attempts, in order. */
  readonly waits: number[] = [];

  constructor() {
    super(Date.UTC(2026, 0, 1));
  }

  override setTimeout(fn: () => void, ms: number): TimerHandle {
    if (ms > distributionLimits.longestWaitMs) return super.setTimeout(fn, ms);
    this.waits.push(ms);
    return setImmediate(fn);
  }

  override clearTimeout(handle: TimerHandle): void {
    if (!this.timers.delete(handle as object)) clearImmediate(handle as NodeJS.Immediate);
  }
}

/** The same digits each time. */
export const testRandom: RandomPort = {
  id: () => '7'.repeat(64),
  token: (bytes) => '7f'.repeat(bytes),
};
