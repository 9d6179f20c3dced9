// The short form of `npm run churn -- --streams 10000`.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describePods } from '../support/crictl.ts';
import { makeWorld, type World } from '../support/world.ts';
import { abortSessions, leaks } from './aborts.ts';

describePods('sessions that their clients leave', () => {
  let world: World;
  beforeAll(async () => {
    world = await makeWorld({ name: 'abrt' });
  });
  afterAll(async () => await world.close());

  test('S22 S27 S78: 300 sessions of exec, attach and port-forward abandoned at random points leave processes and descriptors as before', async () => {
    const result = await abortSessions(world, { sessions: 300, atOnce: 6, seed: 7 });
    expect(leaks(result)).toEqual([]);
    expect(result.left.size).toBeGreaterThan(20);
    expect(await world.leftovers()).toEqual([]);
  });
});
