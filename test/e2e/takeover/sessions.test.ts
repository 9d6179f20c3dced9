// Clients and sessions of every kind over take-overs: `npm run handover` in short (F92).
import { expect, test } from 'vitest';
import { handOver } from '../handover/handover.ts';
import { handoverText } from '../handover/report.ts';
import { describePods } from '../support/crictl.ts';
import { makeWorld } from '../support/world.ts';

const SMALL = {
  takeOvers: 2,
  clients: 3,
  execsPerSecond: 10,
  sessions: 3,
  span: 2,
  forwardBytes: 32 * 2 ** 20,
  pods: 3,
  everyMs: 0,
  pauseMs: 500,
  hasNetwork: false,
  isKilled: false,
  seed: 1,
};

describePods('take-over of sessions', () => {
  test('F92: exec, attach, port-forward, a URL of before, events and logs go on, and no call fails', async () => {
    const world = await makeWorld({ name: 'tks', network: 'none', logLevel: 'info' });
    try {
      const result = await handOver(world, SMALL);
      process.stdout.write(`${handoverText(SMALL, result)}\n`);
      expect(result.tally.failed).toEqual([]);
      expect([...result.sessions.broken, ...result.broken]).toEqual([]);
      expect([...result.lists.connected.failed, ...result.lists.anew.failed]).toEqual([]);
      expect([...result.lost, ...result.leftovers]).toEqual([]);
      expect(result.times).toHaveLength(SMALL.takeOvers);
    } finally {
      await world.close();
    }
  });
});
