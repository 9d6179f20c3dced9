// The short form of `npm run churn`.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { join } from 'node:path';
import { readRecording } from '../../../src/daemon/cli/read-recording.ts';
import { replay } from '../../sim/replay.ts';
import { describePods } from '../support/crictl.ts';
import { makeWorld, type World } from '../support/world.ts';
import { churn } from './churn.ts';

describePods('churn', () => {
  let world: World;
  beforeAll(async () => {
    world = await makeWorld({ name: 'churn' });
  });
  afterAll(async () => await world.close());

  test('F01–F06: 8 pods survive a kill of the daemon every 2 s: all are removed, nothing is left, no AlreadyExists, no exit code or log line is lost, troupe check is clean', async () => {
    const { tally, failedPods, listed, leftovers, kills, check } = await churn(world, {
      pods: 8,
      atOnce: 4,
      killEveryMs: 2_000,
      holdMs: 1_000,
      callMs: 20_000,
    });
    expect({
      failedPods,
      listed,
      leftovers,
      alreadyExists: tally.alreadyExists,
      wrongExitCodes: tally.wrongExitCodes,
      wrongLogs: tally.wrongLogs,
      check,
    }).toEqual({
      failedPods: [],
      listed: 0,
      leftovers: [],
      alreadyExists: [],
      wrongExitCodes: [],
      wrongLogs: [],
      check: '',
    });
    expect(tally.removed).toBe(8);
    expect(kills).toBeGreaterThan(0);
    // what the killed instances recorded: each machine goes the same way again
    const { entries } = await readRecording(join(world.instance.root, 'flight'));
    const { differences, transitions } = replay(entries);
    expect(differences).toEqual([]);
    expect(transitions).toBeGreaterThan(50);
    expect(entries.filter(({ kind }) => kind === 'boot').length).toBeGreaterThan(1);
  });
});
