// Which of many requests for dumps are made, and when.
import { describe, expect, it } from 'vitest';
import { dumpLimits } from '../../../../src/daemon/bounds.ts';
import { DumpRequests } from '../../../../src/daemon/dumps/dump-requests.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { turns } from '../../../support/turns.ts';

function requests() {
  const clock = new HandClock();
  const asked = new DumpRequests();
  const made: string[] = [];
  const serve = (): void => asked.serve(clock, async (kind) => void made.push(`${kind} ${clock.nowMs}`));
  return { clock, asked, made, serve };
}

describe('requests for dumps', () => {
  it('of the start wait until dumps can be made; those of one kind are one', async () => {
    const { clock, asked, made, serve } = requests();
    for (const kind of ['heap', 'state', 'heap'] as const) asked.ask(kind);
    await turns();
    expect(made).toEqual([]);
    serve();
    await clock.advance(10 * dumpLimits.everyMs);
    expect(made).toEqual(['heap 0', `state ${dumpLimits.everyMs}`]);
  });

  it('in a loop make one after the other, with a pause from one beginning to the next', async () => {
    const { clock, asked, made, serve } = requests();
    serve();
    for (let sent = 0; sent < 100; sent += 1) {
      asked.ask('state');
      await clock.advance(dumpLimits.everyMs / 40);
    }
    await clock.advance(10 * dumpLimits.everyMs);
    expect(made).toEqual([0, 1, 2, 3].map((at) => `state ${at * dumpLimits.everyMs}`));
  });
});
