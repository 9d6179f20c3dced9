import { describe, expect, it } from 'vitest';
import type { ContainerId } from '../../../../../src/base/ids.ts';
import { ExecDeadline } from '../../../../../src/oci/runtime/exec/deadline.ts';
import { HandClock } from '../../../../support/hand-clock.ts';

const id = 'c'.repeat(64) as ContainerId;
const never = new Promise<never>(() => undefined);

function deadlineOf(limitMs: number, reason?: () => string) {
  const [clock, caller] = [new HandClock(), new AbortController()];
  const fx = { signal: caller.signal, timeoutMs: 1000 };
  const deadline = new ExecDeadline({ clock, id, fx, limitMs, ...(reason === undefined ? {} : { reason }) });
  return { clock, caller, deadline };
}

describe('the deadline of an exec', () => {
  it('is shared by all steps, from the beginning on', async () => {
    const { clock, deadline } = deadlineOf(300);
    expect(await deadline.bounded(Promise.resolve('begun'))).toBe('begun');
    clock.pass(200);
    const second = expect(deadline.bounded(never)).rejects.toMatchObject({
      fault: {
        kind: 'timedOut',
        subject: id,
        message: `exec in container ${id}: timed out after 300 ms waiting for the command`,
      },
    });
    clock.pass(100);
    await second;
    expect(clock.timers.size).toBe(0);
  });

  it('is the effect’s where the request has none or a longer one', async () => {
    for (const limitMs of [0, 5000]) {
      const { clock, deadline } = deadlineOf(limitMs);
      const step = expect(deadline.bounded(never, 'the runtime')).rejects.toMatchObject({
        fault: { message: `exec in container ${id}: timed out after 1000 ms waiting for the runtime` },
      });
      clock.pass(1000);
      await step;
    }
  });

  it('ends with the effect, in the standard phrase or with the given reason', async () => {
    for (const [reason, said] of [
      [undefined, 'cancelled while waiting for the command'],
      [() => 'the client has gone', 'the client has gone'],
    ] as const) {
      const { caller, deadline } = deadlineOf(300, reason);
      const failing = Promise.withResolvers<never>();
      const step = expect(deadline.bounded(failing.promise)).rejects.toMatchObject({
        fault: { kind: 'cancelled', message: `exec in container ${id}: ${said}` },
      });
      caller.abort();
      await step;
      // nobody observes it any more, which must not end the process
      failing.reject(new Error('too late'));
    }
  });
});
