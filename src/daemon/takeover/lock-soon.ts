/** The lock of a root that another daemon has just released. */
import { toFault } from '../../base/fault.ts';
import { pause } from '../../host/clock/wait.ts';
import type { ClockPort } from '../../ports/clock.ts';
import { takeOverLimits } from '../bounds.ts';
import { TakeOverRefused } from './taking.ts';

/**
 * Takes it within a bound. A child that the other daemon was starting holds it until its execve, and a process that is
 * being killed until the kernel has closed its files. Throws TakeOverRefused where it does not come free.
 */
export async function lockSoon<L>(lock: () => Promise<L>, clock: ClockPort): Promise<L> {
  const untilMs = clock.monoMs() + takeOverLimits.lockMs;
  for (;;) {
    try {
      return await lock();
    } catch (thrown) {
      const { kind, message } = toFault(thrown);
      if (kind !== 'conflict') throw thrown;
      if (clock.monoMs() > untilMs) throw new TakeOverRefused(`take over: ${message}`);
    }
    await pause(clock, takeOverLimits.pollMs);
  }
}
