import { describe, expect, test } from 'vitest';
import { withDeadline } from '../../../../src/host/clock/deadline.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { never } from '../../../support/turns.ts';

describe('the bound of a port call', () => {
  test('work finished in time leaves no timer', async () => {
    const clock = new HandClock();
    expect(
      await withDeadline(clock, { signal: new AbortController().signal, timeoutMs: 5 }, 'try', async () => 7),
    ).toBe(7);
    expect(clock.timers.size).toBe(0);
  });

  test('hanging work is abandoned at its bound, and the error names the attempt', async () => {
    const clock = new HandClock();
    let seen: AbortSignal | undefined;
    const call = withDeadline(
      clock,
      { signal: new AbortController().signal, timeoutMs: 5 },
      'mount x',
      (signal) => {
        seen = signal;
        return never();
      },
    );
    clock.fire();
    await expect(call).rejects.toMatchObject({
      fault: { kind: 'timedOut', message: 'mount x: not done after 5 ms' },
    });
    expect(seen?.aborted).toBe(true);
    expect(clock.timers.size).toBe(0);
  });

  test('the caller’s abort ends it, before and during the work', async () => {
    const clock = new HandClock();
    const caller = new AbortController();
    const call = withDeadline(clock, { signal: caller.signal, timeoutMs: 5 }, 'mount x', never);
    caller.abort();
    await expect(call).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
    let begun = false;
    const late = withDeadline(clock, { signal: caller.signal, timeoutMs: 5 }, 'mount x', async () => {
      begun = true;
    });
    await expect(late).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
    expect(begun).toBe(false);
  });
});
