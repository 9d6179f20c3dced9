import { describe, expect, test } from 'vitest';
import { hostLimits } from '../../../src/host/bounds.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { runTool } from '../../../src/host/process/process-tool.ts';
import { injects } from '../../support/faults/injects.ts';
import { EVENT_MS } from '../../support/patience.ts';

const manyOrphans = injects('F44', 'more orphans end at once than one pass reaps');

const helper = new URL('./child-signals.ts', import.meta.url).pathname;

/** What a separate process reports: signal handlers belong to a whole process. */
async function scene(name: string): Promise<unknown> {
  const { stdout, stderr } = await runTool({
    argv: [process.execPath, helper, name],
    timeoutMs: EVENT_MS,
    clock: realClock(),
  });
  expect(Buffer.from(stderr).toString()).toBe('');
  return JSON.parse(Buffer.from(stdout).toString());
}

const KILLED = { exitCode: null, signal: 9 };

describe('signals about children', () => {
  test('S89: stops and continuations of a child are not reported; its end is', async () => {
    expect(await scene('stops')).toEqual({ heardOfStops: 0, heardOfEnd: 1, status: KILLED });
  });

  test('S89: however many signals come, the passes over children are bounded, and no end is missed', async () => {
    expect(await scene('storm')).toEqual({ isBounded: true, status: KILLED });
  });

  test('S89: what a pass leaves is seen by further passes, without a signal', async () => {
    expect(await scene('left')).toEqual({ passes: 4 });
  });

  test('S89 F44: more orphans than one pass takes are reaped in several, and children of our own keep their codes', async () => {
    expect(await scene('orphans')).toEqual({
      orphans: hostLimits.orphansPerPass + 40,
      statuses: [KILLED, KILLED, KILLED],
    });
    manyOrphans.happened();
  });
});
