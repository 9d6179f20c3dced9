/** The lock of a root that another daemon has just released. */
import { toFault } from '../../base/fault.ts';
import { pause } from '../../host/clock/wait.ts';
import type { ClockPort } from '../../ports/clock.ts';
import { takeOverLimits } from '../bounds.ts';

/**
 * Takes it within a bound. A child that the other daemon was starting holds it until its execve, and a process that is
 * being killed until the kernel has closed its files.
 */
export async function lockSoon<L>(lock: () => Promise<L>, clock: ClockPort): Promise<L> {
  const untilMs = clock.monoMs() + takeOverLimits.lockMs;
  for (;;) {
    try {
      return await lock();
    } catch (thrown) {
      if (toFault(thrown).kind !== 'conflict' || clock.monoMs() > untilMs) throw thrown;
    }
    await pause(clock, takeOverLimits.pollMs);
  }
}
